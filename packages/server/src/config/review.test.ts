import { describe, expect, it } from 'vitest';
import { type ConfigInput, configSchema } from './config.js';
import { changeText, diffConfig } from './diff.js';
import { review } from './review.js';

const parsed = (input: ConfigInput) => configSchema.parse(input);
const rules = (input: ConfigInput) => review(parsed(input)).map(({ rule, path }) => `${rule} ${path}`);
const postgres = { type: 'postgres' } as const;

describe('the review', () => {
  it.each<[string, ConfigInput]>([
    ['long-delay pipelines.a.window', { pipelines: { a: { sink: postgres, window: { maxDelayMs: 3_600_000 } } } }],
    ['ack-before-window pipelines.a.window', { pipelines: { a: { sink: postgres, window: { everyMs: 20_000 } } } }],
    ['no-time-trigger pipelines.a.window', { pipelines: { a: { sink: postgres, window: { maxDelayMs: 0 } } } }],
    ['batch-of-one pipelines.a.maxItems', { pipelines: { a: { sink: postgres, maxItems: 1 } } }],
    ['starved pipelines.a.maxAhead', { pipelines: { a: { sink: postgres, maxAhead: 10 } } }],
    ['starved-bytes pipelines.a.maxAheadBytes', { pipelines: { a: { sink: postgres, maxAheadBytes: 10 } } }],
    ['no-retry pipelines.a.retry.maxAttempts', { pipelines: { a: { sink: postgres, retry: { maxAttempts: 1 } } } }],
    ['timeout-beyond-drain pipelines.a.timeoutMs', { pipelines: { a: { sink: postgres, timeoutMs: 60_000 } } }],
    ['halt pipelines.a.strict', { pipelines: { a: { sink: postgres, strict: 'halt' } } }],
    ['letters-kept log.deadLetters.maxAgeMs', {}],
    ['doubles pipelines.a.sink', { pipelines: { a: { sink: { type: 'postgres', table: 't' } } } }],
    ['lost-reply pipelines.a.sink.idempotent', { pipelines: { a: { sink: { type: 'http', url: 'https://h/x' } } } }],
    ['plain-http pipelines.a.sink.url', { pipelines: { a: { sink: { type: 'http', url: 'http://h/x' } } } }],
    ['short-drain drainDeadlineMs', { drainDeadlineMs: 10 }],
    ['log-unbounded log.maxBytes', {}],
    ['unread-stream streams.s', { streams: { s: {} } }],
    ['expire streams.s.retention.policy', { streams: { s: { retention: { policy: 'expire' } } } }],
    ['public-without-keys gateway.publicWithoutKeys', { gateway: { host: '0.0.0.0', publicWithoutKeys: true } }],
    ['tenant-bounds tenants', { keys: [{ id: 'k', tenant: 't', hash: `sha256:${'0'.repeat(64)}` }] }],
  ])('says %s', (rule, input) => {
    expect(rules(input)).toContain(rule);
  });

  it('says nothing of a configuration in which everything is bounded', () => {
    expect(
      rules({
        log: { maxBytes: 10 * 2 ** 30, deadLetters: { maxAgeMs: 30 * 86_400_000 } },
        pipelines: { events: { sink: postgres } },
      }),
    ).toEqual([]);
  });
});

describe('the difference of two configurations', () => {
  it('names each change by its path, and what needs a restart', () => {
    const before = parsed({ pipelines: { a: { sink: postgres, window: { maxDelayMs: 50 } }, gone: { sink: postgres } } });
    const after = parsed({
      gateway: { port: 9000 },
      tenants: { acme: { itemsPerSecond: 10 } },
      pipelines: { a: { sink: postgres, window: { maxDelayMs: 80 } } },
    });
    expect(diffConfig(before, before)).toEqual([]);
    expect(diffConfig(before, after).map(changeText)).toEqual([
      '~ gateway.port: 8080 → 9000   (after a restart)',
      '+ tenants.acme: {"itemsPerSecond":10,"share":1,"maxRequests":1000,"maxHeldItems":100000}',
      '~ pipelines.a.window.maxDelayMs: 50 → 80',
      expect.stringMatching(/^- pipelines.gone: /),
    ]);
  });

  it('shows no password', () => {
    const [change] = diffConfig(parsed({ database: 'postgres://a:one@h/d' }), parsed({ database: 'postgres://a:two@h/d' }));
    expect(changeText(change!)).toBe('~ database: "postgres://…@h/d" → "postgres://…@h/d"   (after a restart)');
  });
});
