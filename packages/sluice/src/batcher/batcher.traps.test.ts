/** The defects of other batchers, and of the code in our sources, each a test: the marks are those of our notes on them. */

import { afterEach, describe, expect, it } from 'vitest';
import { failure, SluiceError } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { deadLetter } from '../layers/dead-letter.js';
import { memoryDeadLetterStore } from '../layers/memory-dead-letter-store.js';
import { retry } from '../layers/retry.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { type Batcher, type BatcherOptions, createBatcher } from './batcher.js';

const made: Batcher<never, unknown>[] = [];

/** A batcher on a test env, whose balance is checked at the end of the test. */
function world<T = number, R = void>(options: Partial<BatcherOptions<T, R>> = {}) {
  const env = testEnv();
  const sink = scriptedSink<T, R>({ answer: () => undefined });
  const batcher = createBatcher<T, R>({ sink, env, window: { maxDelayMs: 100 }, ...options });
  made.push(batcher as unknown as Batcher<never, unknown>);
  return { env, sink, batcher };
}

afterEach(() => {
  for (const batcher of made.splice(0)) expect(tallyImbalance(batcher.stats())).toBe(0);
});

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('the sink', () => {
  it('D-4: what it rejects is told to who waits, counted, and parked where there is a place for it', async () => {
    const down = scriptedSink<number>({
      answer: () => {
        throw failure('down', { class: 'permanent', code: 'DOWN' });
      },
    });
    const plain = world({ sink: down });
    const told = plain.batcher.push(1).catch((error: unknown) => error);
    plain.batcher.offer(2);
    await plain.env.clock.advance(100);
    expect(await told).toMatchObject({ code: 'DOWN' });
    expect(plain.batcher.stats()).toMatchObject({ ok: 0, failed: 2 });

    const store = memoryDeadLetterStore<number>();
    const parking = world({ sink: down, layers: [deadLetter({ store })] });
    parking.batcher.offer(3);
    await parking.env.clock.advance(100);
    expect(parking.batcher.stats()).toMatchObject({ failed: 0, dead: 1 });
    expect(store.list().map(({ value }) => value)).toEqual([3]);
  });

  it('D-5: one that is slower than its callers never has more calls than it may, nor is more held than may be: the callers wait', async () => {
    const sink = scriptedSink<number>();
    const { env, batcher } = world({ sink, maxItems: 2, maxInFlight: 3, maxHeldItems: 10 });
    let accepted = 0;
    for (const i of range(50)) void batcher.add(i).then(() => accepted++);
    await env.clock.advance(1000);
    expect([sink.open, accepted, batcher.stats().waiting]).toEqual([3, 10, 40]);
    for (let answered = 0; sink.open > 0; answered++) {
      expect(sink.open).toBeLessThanOrEqual(3);
      sink.calls[answered]!.reply();
      await env.clock.advance(100);
    }
    expect([accepted, batcher.stats().ok]).toEqual([50, 50]);
  });

  it('D-7: an add may be given up, and after a close it is refused', async () => {
    const { batcher } = world({ sink: scriptedSink<number>(), maxHeldItems: 1 });
    batcher.offer(1);
    const controller = new AbortController();
    const waiting = batcher.add(2, { signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    void batcher.close({ deadlineMs: 0 });
    await expect(batcher.add(3)).rejects.toMatchObject({ code: 'CLOSED' });
  });
});

describe('the window', () => {
  it('W-1: later items do not put off the first one', async () => {
    const { env, sink, batcher } = world();
    for (const i of range(20)) {
      batcher.offer(i);
      await env.clock.advance(30);
    }
    // Four items come within 100 ms of the first of them.
    expect(sink.calls.map(({ items }) => items.length)).toEqual([4, 4, 4, 4, 4]);
  });

  it('W-2: no timer runs while nothing is held, and the first item after a pause has a whole window', async () => {
    const { env, sink, batcher } = world();
    batcher.offer(1);
    await env.clock.advance(100);
    expect([sink.calls.length, env.clock.timers]).toEqual([1, 0]);
    await env.clock.advance(950);
    batcher.offer(2);
    await env.clock.advance(99);
    expect(sink.calls).toHaveLength(1);
    await env.clock.advance(1);
    expect(sink.calls).toHaveLength(2);
  });

  it('W-3: a full batch in between does not shorten the window of what comes after it', async () => {
    const { env, sink, batcher } = world({ maxItems: 2 });
    batcher.offer(1);
    await env.clock.advance(90);
    batcher.offer(2);
    batcher.offer(3);
    await env.clock.advance(99);
    expect(sink.calls).toHaveLength(1);
    await env.clock.advance(1);
    expect(sink.calls.map(({ items }) => items)).toEqual([[1, 2], [3]]);
  });

  it('E-32: what is full when its time has come leaves once, as full', async () => {
    const { env, sink, batcher } = world({ maxItems: 2 });
    batcher.offer(1);
    env.clock.after(99.5, () => batcher.offer(2));
    await env.clock.advance(100);
    expect(sink.calls.map(({ items }) => items)).toEqual([[1, 2]]);
    expect(env.eventsOf('cut').map(({ reason }) => reason)).toEqual(['size']);
  });
});

describe('a close', () => {
  it('W-4: does not wait for a window of an hour', async () => {
    const { env, sink, batcher } = world({ window: { maxDelayMs: 3_600_000 } });
    batcher.offer(1);
    expect(await batcher.close()).toMatchObject({ ok: 1, durationMs: 0 });
    expect([sink.calls.length, env.clock.now(), env.clock.timers]).toEqual([1, 0, 0]);
  });

  it('W-5: waits 30 s for a slow sink, however short the window is', async () => {
    const { env, batcher } = world({ sink: scriptedSink<number>(), window: { maxDelayMs: 1 }, timeoutMs: 1e9 });
    batcher.offer(1);
    let report: unknown;
    void batcher.close().then((closed) => (report = closed));
    await env.clock.advance(29_999);
    expect(report).toBeUndefined();
    await env.clock.advance(1);
    expect(report).toMatchObject({ droppedInFlight: 1, durationMs: 30_000 });
  });
});

describe('bounds', () => {
  it('W-7: bytes bound what is held and what leaves, and each item is measured once, retries included', async () => {
    let measured = 0;
    let calls = 0;
    const { env, batcher } = world<string>({
      sink: scriptedSink<string>({
        answer: () => {
          if (++calls === 1) throw failure('once more', { class: 'transient' });
        },
      }),
      bytesOf: (text) => {
        measured++;
        return text.length;
      },
      maxBytes: 10,
      maxHeldBytes: 20,
      layers: [retry()],
    });
    expect(range(6).map(() => batcher.offer('12345'))).toEqual([...range(4).map(() => 'accepted'), 'full', 'full']);
    await env.clock.advance(10_000);
    expect([measured, batcher.stats().ok, calls]).toEqual([6, 4, 3]);
  });

  it('W-8: a batch of 300,000 items is cut, sent and told without a stack for each', async () => {
    const most = 300_000;
    const { env, sink, batcher } = world({ maxItems: most, maxHeldItems: most });
    const last = range(most).map((i) => (i % 1000 === 0 ? batcher.push(i) : batcher.offer(i)));
    await Promise.all([env.clock.advance(100), ...last]);
    expect([sink.calls.map(({ items }) => items.length), batcher.stats().ok]).toEqual([[most], most]);
  });

  it('W-9: a lane, a key or a tenant may be called __proto__ or constructor, and is one like any other (D-36)', async () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', ''];
    const { env, sink, batcher } = world<string>({
      laneBy: (name) => name,
      combine: { by: (name) => name, into: ([one]) => one! },
    });
    for (const name of names) {
      batcher.offer(name);
      batcher.offer(name);
    }
    await env.clock.advance(100);
    expect(sink.calls.map(({ items, context }) => [context.lane, ...items])).toEqual(names.map((name) => [name, name]));
    const keyed = world<string>({ orderBy: (name) => name, shards: 3 });
    for (const name of names) keyed.batcher.offer(name);
    await keyed.env.clock.advance(100);
    expect(keyed.sink.calls.flatMap(({ items }) => items).sort()).toEqual([...names].sort());
  });
});

describe('errors', () => {
  it('W-11: what is blocked (credentials, a missing table) is told, and neither tried again nor parked', async () => {
    const store = memoryDeadLetterStore<number>();
    const sink = scriptedSink<number>({
      answer: () => {
        throw failure('401', { class: 'blocked', code: 'UNAUTHORIZED' });
      },
    });
    const { env, batcher } = world({ sink, layers: [deadLetter({ store }), retry()] });
    const told = batcher.push(1).catch((error: unknown) => error);
    await env.clock.advance(100_000);
    expect(await told).toMatchObject({ code: 'UNAUTHORIZED', class: 'blocked' });
    expect([sink.calls.length, store.list().length]).toEqual([1, 0]);
  });

  it('W-29: an offer makes no promise: a hundred thousand that fail are unhandled by nobody, and are counted', async () => {
    const sink = scriptedSink<number>({
      answer: () => {
        throw failure('down', { class: 'permanent' });
      },
    });
    const { env, batcher } = world({ sink });
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    const NativePromise = globalThis.Promise;
    let promises = 0;
    globalThis.Promise = class<V> extends NativePromise<V> {
      constructor(executor: ConstructorParameters<typeof NativePromise<V>>[0]) {
        super(executor);
        promises++;
      }
    } as PromiseConstructor;
    try {
      for (let i = 0; i < 499; i++) batcher.offer(i);
    } finally {
      globalThis.Promise = NativePromise;
    }
    for (let i = 499; i < 100_000; i++) batcher.offer(i);
    await env.clock.advance(100);
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', note);
    expect([promises, unhandled.length, batcher.stats().failed]).toEqual([0, 0, 100_000]);
  });

  it('W-30: a batch that fails makes one error for all who wait, and takes one stack', async () => {
    const problem = new Error('down');
    const sink = scriptedSink<number>({
      answer: () => {
        throw problem;
      },
    });
    const { env, batcher } = world({ sink });
    const told = range(400).map((i) => batcher.push(i).catch((error: unknown) => error));
    await env.clock.advance(100);
    const errors = new Set(await Promise.all(told));
    expect(errors.size).toBe(1);
    const [only] = errors;
    expect(only).toBeInstanceOf(SluiceError);
    expect((only as SluiceError).cause).toBe(problem);
  });

  it('a value that cannot be read, once thrown, still settles the batch', async () => {
    const hostile = {
      get class(): string {
        throw new Error('no class for you');
      },
    };
    const { env, batcher } = world({
      sink: scriptedSink<number>({
        answer: () => {
          throw hostile;
        },
      }),
    });
    const told = expect(batcher.push(1)).rejects.toMatchObject({ code: 'FAILED', class: 'transient' });
    await env.clock.advance(100);
    await told;
  });

  it.each([{}, { laneBy: String }])(
    'a layer whose advice rejects stops nothing, and holds no turn of the event loop: %j',
    async (lanes) => {
      const { env, sink, batcher } = world<number>({
        ...lanes,
        maxItems: 1,
        layers: [
          (inner) => ({
            ...inner,
            ready: () => Promise.reject(new Error('no advice')),
            dispatch: (batch, ctx) => inner.dispatch(batch, ctx),
          }),
        ],
      });
      const told = Promise.all([batcher.push(1), batcher.push(2), batcher.push(3)]);
      await env.clock.advance(100);
      await told;
      expect(sink.calls).toHaveLength(3);
    },
  );
});

it('options of one call are checked before anything is counted', async () => {
  const { batcher } = world();
  const wrong = [{ timeoutMs: 5 }, { signal: {} }, { signal: null }, { signal: 5 }] as unknown as { signal: AbortSignal }[];
  for (const options of wrong) {
    for (const call of [batcher.push(1, options), batcher.ack(1, options), batcher.add(1, options)])
      await expect(call).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining(Object.keys(options)[0]!),
      });
  }
  expect(batcher.stats()).toMatchObject({ offered: 0, held: 0 });
});

it('layers that are no array of layers are an invalid option', () => {
  for (const layers of [retry(), [3], null] as unknown as never[])
    expect(() => createBatcher<number>({ sink: scriptedSink<number>(), env: testEnv(), layers })).toThrowError(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining('[retry()]') }),
    );
});
