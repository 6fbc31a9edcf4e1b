/** Review: what works but is likely to be regretted. `sluice check` prints it; nothing in it stops a start. */

import type { Config, PipelineConfig, SinkConfig } from './config.js';
import { isLoopback } from './contradictions.js';
import { pathText } from './problem.js';
import type { Path } from './source.js';

/** A piece of advice. */
export interface Advice {
  /** Names the rule. */
  readonly rule: string;
  readonly path: string;
  readonly message: string;
}

const hour = 3_600_000;

/** Looks at a configuration that is valid. */
export function review(config: Config): Advice[] {
  const advice: Advice[] = [];
  const say = (rule: string, path: Path, message: string) => advice.push({ rule, path: pathText(path), message });

  reviewService(config, say);
  for (const [name, pipeline] of Object.entries(config.pipelines)) reviewPipeline(config, name, pipeline, say);
  for (const [name, stream] of Object.entries(config.streams)) {
    const readers = Object.entries(config.pipelines).filter(([pipeline, { stream: reads = pipeline }]) => reads === name);
    const { maxAgeMs, maxBytes, policy } = stream.retention;
    if (readers.length === 0 && maxAgeMs === undefined && maxBytes === undefined)
      say(
        'unread-stream',
        ['streams', name],
        'no pipeline reads it and it has no retention: it grows until the disk is full; set retention.maxAgeMs or retention.maxBytes',
      );
    if (policy === 'expire')
      say(
        'expire',
        ['streams', name, 'retention', 'policy'],
        'events that a pipeline has not read are removed at the bound (and counted); keep holds them',
      );
  }
  return advice;
}

type Say = (rule: string, path: Path, message: string) => void;

function reviewService(config: Config, say: Say): void {
  const { gateway, keys, tenants, drainDeadlineMs, log } = config;
  if (!isLoopback(gateway.host) && keys.length === 0)
    say('public-without-keys', ['gateway', 'publicWithoutKeys'], 'everyone who reaches this address may write and read');
  if (drainDeadlineMs < 1_000)
    say(
      'short-drain',
      ['drainDeadlineMs'],
      `a stop gives up after ${drainDeadlineMs} ms: what is on its way to a sink then is delivered again after the next start`,
    );
  if (log.maxBytes === undefined)
    say(
      'log-unbounded',
      ['log', 'maxBytes'],
      'the log may grow until the disk has only log.reserveBytes left; a bound answers 503 earlier',
    );
  if (log.deadLetters.maxAgeMs === undefined)
    say(
      'letters-kept',
      ['log', 'deadLetters', 'maxAgeMs'],
      `dead letters are kept until somebody purges them; at ${log.deadLetters.maxItems} a pipeline that would park one more stops`,
    );
  if (keys.length > 0 && tenants['*'] === undefined && Object.keys(tenants).length === 0)
    say('tenant-bounds', ['tenants'], 'no tenant has a rate: one of them may use all there is; set tenants."*".itemsPerSecond');
}

function reviewPipeline(config: Config, name: string, pipeline: PipelineConfig, say: Say): void {
  const at = (...path: PropertyKey[]): Path => ['pipelines', name, ...path];
  const { window, maxItems, maxBytes, maxAhead, maxAheadBytes, maxInFlight, timeoutMs, retry, strict } = pipeline;
  const delayMs =
    typeof window === 'object'
      ? 'maxDelayMs' in window
        ? window.maxDelayMs
        : 'everyMs' in window
          ? window.everyMs
          : window.throttleMs
      : 0;

  if (delayMs === 0 && window !== 'whileBusy')
    say('no-time-trigger', at('window'), 'a batch is due at once: there is nothing to batch until the sink is busy');
  if (delayMs >= hour)
    say(
      'long-delay',
      at('window'),
      `a batch waits up to ${Math.round(delayMs / 60_000)} minutes, unless somebody asks for ack=committed; the log keeps it meanwhile`,
    );
  // With a maxDelayMs, what is awaited leaves before its window ends.
  if (typeof window === 'object' && !('maxDelayMs' in window) && delayMs > config.gateway.ackTimeoutMs)
    say(
      'ack-before-window',
      at('window'),
      `the window is longer than gateway.ackTimeoutMs (${config.gateway.ackTimeoutMs} ms): committed is reached in time only by chance; use a maxDelayMs`,
    );
  if (maxItems === 1)
    say('batch-of-one', at('maxItems'), 'each event is a call of its own: use the window with a larger maxItems');
  if (maxAhead < maxItems * maxInFlight)
    say(
      'starved',
      at('maxAhead'),
      `less than maxItems × maxInFlight (${maxItems * maxInFlight}): the sink calls cannot all be full`,
    );
  if (maxAheadBytes < maxBytes)
    say('starved-bytes', at('maxAheadBytes'), `less than maxBytes (${maxBytes}): no batch ever reaches its size`);
  if (retry.maxAttempts === 1) say('no-retry', at('retry', 'maxAttempts'), 'one transient failure parks the whole batch');
  if (timeoutMs > config.drainDeadlineMs)
    say(
      'timeout-beyond-drain',
      at('timeoutMs'),
      `a call may take longer than drainDeadlineMs (${config.drainDeadlineMs} ms): a stop may not wait for it`,
    );
  if (strict === 'halt')
    say('halt', at('strict'), 'one bad event stops everything behind it until somebody looks; have an alert on the lag');
  for (const [path, sink] of [
    [at('sink'), pipeline.sink],
    ...Object.entries(pipeline.branches).map(([branch, one]) => [at('branches', branch), one]),
  ] as [Path, SinkConfig][])
    reviewSink(path, sink, say);
}

function reviewSink(path: Path, sink: SinkConfig, say: Say): void {
  if (sink.type === 'postgres' && sink.table !== 'events' && sink.conflict === undefined && !sink.effectivelyOnce)
    say(
      'doubles',
      path,
      'after a crash or a lost reply rows are written again: name the key in conflict, or set effectivelyOnce',
    );
  if (sink.type === 'http' && !sink.idempotent)
    say(
      'lost-reply',
      [...path, 'idempotent'],
      'a batch whose reply is lost is parked, since it may have arrived; a receiver that honours Idempotency-Key may set idempotent',
    );
  if (sink.type === 'http' && sink.url.startsWith('http:') && !/^http:\/\/(127\.|localhost|\[::1\])/.test(sink.url))
    say('plain-http', [...path, 'url'], 'payloads and headers travel unencrypted');
}
