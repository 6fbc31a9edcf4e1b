/** Tests of deadLetter, its memory store and redrive: what is parked and what never is, and how it comes back. */

import { describe, expect, it } from 'vitest';
import { createBatcher } from '../batcher/batcher.js';
import type { DeadLetterStore } from '../core/dead-letter-store.js';
import type { DispatchContext, Sink } from '../core/dispatcher.js';
import { type FailureClass, failure } from '../core/errors.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { tallyImbalance } from '../core/tally.js';
import { batchOf, contextOf } from '../testing/made-batch.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { bisect } from './bisect.js';
import { type DeadLetterOptions, deadLetter } from './dead-letter.js';
import { type MemoryDeadLetterStoreOptions, memoryDeadLetterStore } from './memory-dead-letter-store.js';
import { redrive } from './redrive.js';
import { retry } from './retry.js';

const env0 = () => testEnv();

function parking(sink: Sink<string>, storeOptions: MemoryDeadLetterStoreOptions = {}, maxWaiting = 1000) {
  const env = env0();
  const store = memoryDeadLetterStore<string>({ env, ...storeOptions });
  const layers = [
    deadLetter<string, void>({ store }),
    retry<string, void>({ maxAttempts: 3, maxWaiting }),
    bisect<string, void>(),
  ];
  const dispatcher = stack(layers, sinkDispatcher(sink, env), env);
  const run = (batch = batchOf('a'), context: Partial<DispatchContext> = {}) => dispatcher.dispatch(batch, contextOf(context));
  return { env, store, run };
}

const always = (cls: FailureClass, code = 'X') =>
  scriptedSink<string>({
    answer: () => {
      throw failure('it says no', { class: cls, code });
    },
  });

describe('deadLetter', () => {
  it('R-71: parks a permanent failure after one call, with all that is needed to judge it (R-117)', async () => {
    const sink = always('permanent', '22P02');
    const { env, store, run } = parking(sink);
    const [outcome] = await run();
    expect(sink.calls).toHaveLength(1);
    expect(outcome).toMatchObject({ kind: 'dead', failure: { code: '22P02' }, deadLetterId: 'dl-1' });
    expect(store.get('dl-1')).toEqual({
      id: 'dl-1',
      state: 'parked',
      value: 'a',
      itemId: expect.any(String),
      lane: '',
      batchId: 'b',
      code: '22P02',
      class: 'permanent',
      message: 'it says no',
      attempts: 1,
      firstFailedAt: env.clock.wall(),
      lastFailedAt: env.clock.wall(),
      tries: [{ at: env.clock.wall(), code: '22P02', class: 'permanent', message: 'it says no' }],
      parkedAt: env.clock.wall(),
    });
    expect(env.eventsOf('parked')).toEqual([{ type: 'parked', lane: '', batchId: 'b', items: 1 }]);
  });

  it('parks what retry gave up on, with its attempts and the time of its first failure', async () => {
    const { env, store, run } = parking(always('transient'));
    const ended = run();
    await env.clock.advance(1e6);
    expect(await ended).toMatchObject([{ kind: 'dead' }]);
    const [letter] = store.list();
    expect(letter).toMatchObject({ attempts: 3, class: 'transient', firstFailedAt: Date.UTC(2024, 0, 1) });
    expect(letter!.lastFailedAt).toBeGreaterThan(letter!.firstFailedAt);
    expect(letter!.tries.map(({ code, class: failureClass }) => [code, failureClass])).toEqual(Array(3).fill(['X', 'transient']));
    expect([letter!.tries[0]!.at, letter!.tries[2]!.at]).toEqual([letter!.firstFailedAt, letter!.lastFailedAt]);
  });

  it('keeps the first five and the latest fifteen of very many tries', async () => {
    const env = env0();
    const store = memoryDeadLetterStore<string>({ env });
    let n = 0;
    const sink = scriptedSink<string>({
      answer: () => {
        throw failure(`try ${++n}`, { class: 'transient', code: 'X' });
      },
    });
    const layers = [deadLetter<string, void>({ store }), retry<string, void>({ maxAttempts: 30 })];
    const ended = stack(layers, sinkDispatcher(sink, env), env).dispatch(batchOf('a'), contextOf({}));
    await env.clock.advance(1e8);
    await ended;
    const [letter] = store.list();
    expect(letter!.attempts).toBe(30);
    expect(letter!.tries.map(({ message }) => message)).toEqual(
      [1, 2, 3, 4, 5, ...Array.from({ length: 15 }, (_, i) => 16 + i)].map((number) => `try ${number}`),
    );
  });

  it('keeps the trace and the idempotency key that an item came with (R-117)', async () => {
    const origin = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 };
    const env = { ...env0(), origin: () => origin };
    const store = memoryDeadLetterStore<string>({ env });
    const seen: (string | undefined)[] = [];
    const batcher = createBatcher<string>({
      sink: {
        write: (_items, { entries }) => {
          seen.push(...entries.map((entry) => entry.idempotencyKey));
          return entries.map(() => failure('no'));
        },
      },
      idempotencyKey: (item) => `key of ${item}`,
      layers: [deadLetter({ store })],
      maxItems: 2,
      env,
    });
    batcher.offer('a');
    await expect(batcher.push('b')).rejects.toMatchObject({ deadLetterId: 'dl-2' });
    await batcher.close();
    expect(seen).toEqual(['key of a', 'key of b']);
    expect(store.list().map(({ trace, idempotencyKey }) => [trace, idempotencyKey])).toEqual([
      ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'key of a'],
      ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'key of b'],
    ]);
  });

  it('R-173: of 15 failing batches, 10 wait for their retry and 5 are parked with RETRY_OVERFLOW (S4)', async () => {
    const { env, store, run } = parking(always('transient'), {}, 10);
    for (let i = 0; i < 15; i++) void run();
    await env.clock.settle();
    expect(store.list({ code: 'RETRY_OVERFLOW' })).toHaveLength(5);
    expect(env.clock.timers).toBe(10);
  });

  it('R-147: parks the bad items of a batch only', async () => {
    const sink = scriptedSink<string>({
      answer: (items) => items.map((item) => (item === 'bad' ? failure('no') : (undefined as never))),
    });
    const { store, run } = parking(sink);
    expect((await run(batchOf('a', 'bad', 'b'))).map((outcome) => outcome.kind)).toEqual(['ok', 'dead', 'ok']);
    expect(store.list().map((letter) => letter.value)).toEqual(['bad']);
  });

  it.each(['rejected', 'blocked'] as const)('never parks what is %s', async (cls) => {
    const { store, run } = parking(always(cls));
    expect(await run()).toMatchObject([{ kind: 'failed' }]);
    expect(store.list()).toEqual([]);
  });

  it('never parks what was aborted, or what nobody waits for any more', async () => {
    const sink = scriptedSink<string>();
    const { store, run } = parking(sink);
    const controller = new AbortController();
    const aborted = run(batchOf('a'), { signal: controller.signal });
    controller.abort();
    sink.calls[0]!.fail(failure('cut off', { class: 'unknown', code: 'SHUTDOWN_TIMEOUT' }));
    expect(await aborted).toMatchObject([{ kind: 'failed' }]);
    const batch = batchOf('gone');
    const left = run(batch);
    (batch.items[0] as { gone: boolean }).gone = true;
    sink.calls[1]!.fail(failure('no'));
    expect(await left).toMatchObject([{ kind: 'failed' }]);
    expect(store.list()).toEqual([]);
  });

  it.each<[string, DeadLetterStore<string>['park']]>([
    [
      'throws',
      () => {
        throw new Error('disk full');
      },
    ],
    ['rejects', () => Promise.reject(new Error('disk full'))],
    ['never answers', () => new Promise(() => {})],
    ['gives too few ids', () => []],
  ])('E-36, W-27: when the store %s, the item fails with its own failure, and that is counted', async (_, parkLetters) => {
    const env = env0();
    const store = { ...memoryDeadLetterStore<string>({ env }), park: parkLetters };
    const dispatcher = stack(
      [deadLetter<string, void>({ store, parkTimeoutMs: 500 })],
      sinkDispatcher(always('permanent'), env),
      env,
    );
    const ended = dispatcher.dispatch(batchOf('a', 'b'), contextOf());
    await env.clock.advance(500);
    expect(await ended).toMatchObject([{ kind: 'failed', failure: { code: 'X' } }, { kind: 'failed' }]);
    expect(env.eventsOf('storeFailed')).toMatchObject([{ layer: 'deadLetter', items: 2, error: { code: 'STORE_FAILED' } }]);
    expect(env.clock.timers).toBe(0);
  });

  it('in a batcher, a dead item rejects with its deadLetterId, and the tally balances', async () => {
    const env = env0();
    const store = memoryDeadLetterStore<string>({ env });
    const batcher = createBatcher<string>({
      env,
      sink: always('permanent'),
      window: { maxDelayMs: 10 },
      layers: [deadLetter({ store })],
    });
    const pushed = batcher.push('a');
    await env.clock.advance(10);
    await expect(pushed).rejects.toMatchObject({ deadLetterId: 'dl-1', code: 'X' });
    expect(batcher.stats()).toMatchObject({ dead: 1, failed: 0 });
    expect(tallyImbalance(batcher.stats())).toBe(0);
  });

  it.each([{}, { store: {} }, { store: memoryDeadLetterStore(), parkTimeoutMs: 0 }])('refuses %o', (options) => {
    expect(() => deadLetter(options as DeadLetterOptions<string>)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});

const letterOf = (value: string, code = 'X', message = 'no') => ({
  value,
  itemId: value,
  lane: value[0]!,
  batchId: 'b',
  code,
  class: 'permanent' as const,
  message,
  attempts: 1,
  firstFailedAt: 1,
  lastFailedAt: 2,
  tries: [],
});

describe('the memory store of dead letters', () => {
  it('is bounded by count: it parks all of a batch or none, and says what to do', () => {
    const store = memoryDeadLetterStore<string>({ env: env0(), maxLetters: 3 });
    store.park([letterOf('a'), letterOf('b')]);
    expect(() => store.park([letterOf('c'), letterOf('d')])).toThrow(expect.objectContaining({ code: 'DEAD_LETTERS_FULL' }));
    store.park([letterOf('c')]);
    expect(store.stats()).toEqual({ letters: 3, parked: 3, refused: 2, expired: 0, purged: 0 });
  });

  it('is bounded by age, and counts what it removes', async () => {
    const env = env0();
    const store = memoryDeadLetterStore<string>({ env, maxAgeMs: 1000 });
    store.park([letterOf('old')]);
    await env.clock.advance(600);
    store.park([letterOf('young')]);
    await env.clock.advance(400);
    expect(store.list().map((letter) => letter.value)).toEqual(['young']);
    expect(store.stats()).toMatchObject({ letters: 1, expired: 1 });
    expect(env.clock.timersStarted).toBe(0);
  });

  it('lists by lane, code, class, age, ids and number', async () => {
    const env = env0();
    const store = memoryDeadLetterStore<string>({ env });
    const [first] = store.park([letterOf('a1', 'X'), letterOf('b1', 'Y')]);
    await env.clock.advance(10);
    store.park([letterOf('a2', 'Y')]);
    const values = (filter: Parameters<typeof store.list>[0]) => store.list(filter).map((letter) => letter.value);
    expect(values({ lane: 'a' })).toEqual(['a1', 'a2']);
    expect(values({ code: 'Y' })).toEqual(['b1', 'a2']);
    expect(values({ class: 'transient' })).toEqual([]);
    expect(values({ parkedBefore: env.clock.wall() })).toEqual(['a1', 'b1']);
    expect(values({ ids: [first!, 'unknown'] })).toEqual(['a1']);
    expect(values({ limit: 2 })).toEqual(['a1', 'b1']);
    expect(store.purge({ code: 'Y', limit: 1 })).toBe(1);
    expect(values({})).toEqual(['a1', 'a2']);
  });

  it('R-116: groups by error, leaving out what differs from item to item', () => {
    const store = memoryDeadLetterStore<string>({ env: env0() });
    store.park([
      letterOf('a', '22P02', 'line 701: invalid number "x1"'),
      letterOf('b', '23505', 'duplicate key'),
      letterOf('c', '22P02', 'line 9: invalid number "y"'),
    ]);
    expect(store.groups()).toMatchObject([
      { code: '22P02', letters: 2, pattern: 'line #: invalid number …', exampleId: 'dl-1' },
      { code: '23505', letters: 1 },
    ]);
  });
});

describe('redrive', () => {
  const parked = (count: number) => {
    const env = env0();
    const store = memoryDeadLetterStore<string>({ env });
    store.park(Array.from({ length: count }, (_, i) => letterOf(`v${i}`)));
    return { env, store };
  };

  it('of 3 batches that have been fixed gives them to the sink, and leaves no letter (S4)', async () => {
    const { env, store } = parked(3);
    const sink = scriptedSink<string>({ answer: () => {} });
    const batcher = createBatcher<string>({ env, sink, window: { maxDelayMs: 10 } });
    const done = redrive(store, { env, push: (value) => batcher.push(value), perSecond: Number.POSITIVE_INFINITY });
    await env.clock.advance(100);
    expect(await done).toEqual({ matched: 3, redriven: 3, deadAgain: 0, failed: 0, left: 0 });
    expect(sink.calls.flatMap((call) => call.items)).toEqual(['v0', 'v1', 'v2']);
    expect(store.stats()).toMatchObject({ letters: 0 });
  });

  it('keeps the letter of what fails, and replaces that of what dies again', async () => {
    const { env, store } = parked(3);
    const push = async (value: string) => {
      if (value === 'v0') throw failure('closed', { class: 'rejected' });
      if (value === 'v1') throw failure('again', { deadLetterId: store.park([letterOf('v1')])[0]! });
    };
    expect(await redrive(store, { env, push, perSecond: Number.POSITIVE_INFINITY })).toMatchObject({
      redriven: 1,
      deadAgain: 1,
      failed: 1,
    });
    expect(store.list().map(({ value, state, id }) => [value, state, id])).toEqual([
      ['v0', 'parked', 'dl-1'],
      ['v1', 'parked', 'dl-4'],
    ]);
  });

  it('keeps to its rate and to its bound, and stops when it is told to', async () => {
    const { env, store } = parked(10);
    const begunAt: number[] = [];
    const controller = new AbortController();
    const release: (() => void)[] = [];
    const push = () => {
      begunAt.push(env.clock.now());
      return new Promise<void>((resolve) => release.push(resolve));
    };
    const done = redrive(store, { env, push, perSecond: 10, maxInFlight: 3, signal: controller.signal });
    await env.clock.advance(250);
    expect(begunAt).toEqual([0, 100, 200]);
    await env.clock.advance(1000);
    expect(begunAt).toHaveLength(3);
    release[0]!();
    await env.clock.advance(1);
    expect(begunAt).toHaveLength(4);
    controller.abort();
    for (const free of release) free();
    await env.clock.settle();
    expect(await done).toEqual({ matched: 10, redriven: 4, deadAgain: 0, failed: 0, left: 6 });
    expect(store.list()).toHaveLength(6);
    expect(env.clock.timers).toBe(0);
  });

  it('two at once never send a letter twice', async () => {
    const { env, store } = parked(50);
    const sent: string[] = [];
    const push = async (value: string) => {
      sent.push(value);
    };
    const options = { env, push, perSecond: Number.POSITIVE_INFINITY };
    const [one, two] = await Promise.all([redrive(store, options), redrive(store, options)]);
    expect(sent).toHaveLength(50);
    expect(new Set(sent).size).toBe(50);
    expect([one.redriven + two.redriven, one.left + two.left]).toEqual([50, 50]);
  });

  it('a dry run sends nothing', async () => {
    const { env, store } = parked(2);
    const push = async () => expect.unreachable();
    expect(await redrive(store, { env, push, dryRun: true, filter: { limit: 1 } })).toMatchObject({ matched: 1, left: 1 });
  });
});
