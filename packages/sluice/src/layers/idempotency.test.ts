/** Tests of idempotency: each key is sent once, whoever asks for it and whatever its store does. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DispatchContext } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import type { Claim, IdempotencyStore } from '../core/idempotency-store.js';
import type { Outcome } from '../core/outcome.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { batchOf, contextOf } from '../testing/made-batch.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { type IdempotencyOptions, idempotency } from './idempotency.js';
import { memoryIdempotencyStore } from './memory-idempotency-store.js';

type Options = Partial<IdempotencyOptions<string, string>>;

function keyed(options: Options = {}) {
  const env = testEnv();
  const store = memoryIdempotencyStore<string>({ env });
  const sink = scriptedSink<string, string>();
  const layer = idempotency<string, string>({ store, keyOf: (value) => (value.startsWith('-') ? undefined : value), ...options });
  const dispatcher = stack([layer], sinkDispatcher(sink, env), env);
  const run = (values: readonly string[], context: Partial<DispatchContext> = {}) =>
    dispatcher.dispatch(batchOf(...values), contextOf(context));
  const answer = (call: number) => sink.calls[call]!.reply(sink.calls[call]!.items.map((item) => `${item}!`));
  return { env, store, sink, dispatcher, run, answer };
}

const values = (outcomes: readonly Outcome<string>[]) =>
  outcomes.map((outcome) => (outcome.kind === 'ok' ? outcome.value : outcome.failure.code));

/** A store that answers later, when the test says so. */
function slowStore(inner: IdempotencyStore<string>) {
  const waiting: (() => void)[] = [];
  const later = <V>(make: () => V) => new Promise<V>((resolve) => waiting.push(() => resolve(make())));
  const store: IdempotencyStore<string> = {
    claim: (keys) => later(() => inner.claim(keys) as readonly Claim<string>[]),
    settle: (settlements) => later(() => void inner.settle(settlements)),
  };
  return { store, waiting, answer: () => waiting.shift()!() };
}

describe('idempotency', () => {
  it('does not send a key again that is done: its caller gets the first value', async () => {
    const { env, sink, run, answer } = keyed();
    const first = run(['a', 'b']);
    answer(0);
    expect(values(await first)).toEqual(['a!', 'b!']);
    const second = run(['b', 'c']);
    expect(sink.calls[1]!.items).toEqual(['c']);
    answer(1);
    expect(values(await second)).toEqual(['b!', 'c!']);
    expect(values(await run(['a']))).toEqual(['a!']);
    expect(sink.calls).toHaveLength(2);
    expect(env.eventsOf('duplicates').map((event) => event.items)).toEqual([1, 1]);
  });

  it('lets a duplicate wait for the one that is on its way, in this batch or in another', async () => {
    const { sink, run, answer } = keyed();
    const [first, second] = [run(['a', 'a', 'b']), run(['b', 'c'])];
    expect(sink.calls.map((call) => call.items)).toEqual([['a', 'b'], ['c']]);
    answer(1);
    answer(0);
    expect(values(await first)).toEqual(['a!', 'a!', 'b!']);
    expect(values(await second)).toEqual(['b!', 'c!']);
  });

  it('two batches that follow each other do not wait for each other', async () => {
    const { sink, run, answer } = keyed();
    const [first, second] = [run(['a', 'b']), run(['c', 'a'])];
    const third = run(['b', 'c', 'd']);
    for (const call of [2, 1, 0]) answer(call);
    expect(sink.calls.map((call) => call.items)).toEqual([['a', 'b'], ['c'], ['d']]);
    expect(values((await Promise.all([first, second, third])).flat())).toEqual(['a!', 'b!', 'c!', 'a!', 'b!', 'c!', 'd!']);
  });

  it('sends the same part of a batch under an id of its own', async () => {
    const { sink, run, answer } = keyed();
    const first = run(['a']);
    answer(0);
    await first;
    void run(['a', 'b']);
    expect(sink.calls[1]!.context.batchId).toBe('b.1');
  });

  it('frees the key of an item that failed, so that its caller can try again; who followed shares the failure', async () => {
    const { sink, run, answer } = keyed();
    const [first, second] = [run(['a']), run(['a'])];
    sink.calls[0]!.fail(failure('down', { class: 'unknown', code: 'DOWN' }));
    expect(values([...(await first), ...(await second)])).toEqual(['DOWN', 'DOWN']);
    const third = run(['a']);
    answer(1);
    expect(values(await third)).toEqual(['a!']);
  });

  it('sends a follower itself when the one it followed was never tried', async () => {
    const { env, sink, run, answer } = keyed();
    const [first, second] = [run(['a']), run(['a'])];
    sink.calls[0]!.fail(failure('not begun', { class: 'rejected', code: 'CANCELLED' }));
    expect(values(await first)).toEqual(['CANCELLED']);
    await env.clock.settle();
    expect(sink.calls).toHaveLength(2);
    answer(1);
    expect(values(await second)).toEqual(['a!']);
  });

  it('does not send the duplicates of one batch one by one when the batch is refused', async () => {
    const { sink, run } = keyed();
    const ended = run(['a', 'a', 'a', 'a']);
    sink.calls[0]!.fail(failure('open', { class: 'rejected', code: 'BREAKER_OPEN' }));
    expect(values(await ended)).toEqual(new Array(4).fill('BREAKER_OPEN'));
    expect(sink.calls).toHaveLength(1);
  });

  it('lets a follower leave at its abort or deadline', async () => {
    const { env, run, answer } = keyed();
    const first = run(['a']);
    const controller = new AbortController();
    const [aborted, timed] = [run(['a'], { signal: controller.signal }), run(['a'], { deadlineAt: 50 })];
    await env.clock.advance(10);
    controller.abort();
    expect(values(await aborted)).toEqual(['CANCELLED']);
    await env.clock.advance(40);
    expect(values(await timed)).toEqual(['TIMEOUT']);
    answer(0);
    expect(values(await first)).toEqual(['a!']);
    expect(env.clock.timers).toBe(0);
  });

  it('always sends items without a key', async () => {
    const { sink, run } = keyed();
    void run(['-', '-']);
    void run(['-']);
    expect(sink.calls.map((call) => call.items)).toEqual([['-', '-'], ['-']]);
  });

  it('refuses a key that somebody else has claimed in the same store', async () => {
    const { env, store, run } = keyed();
    expect(store.claim(['a'])).toEqual([{ kind: 'new' }]);
    expect(values(await run(['a']))).toEqual(['DUPLICATE_IN_FLIGHT']);
    store.settle([{ key: 'a', kind: 'done', value: 'theirs' }]);
    expect(values(await run(['a']))).toEqual(['theirs']);
    expect(env.clock.timers).toBe(0);
  });

  it('says that it is busy while a store is asked that answers later, and remembers before it tells', async () => {
    const memory = memoryIdempotencyStore<string>();
    const slow = slowStore(memory);
    const { env, sink, dispatcher, run, answer } = keyed({ store: slow.store });
    const first = run(['a']);
    expect(dispatcher.ready('')).toBeInstanceOf(Promise);
    expect(sink.calls).toHaveLength(0);
    slow.answer();
    await env.clock.settle();
    expect(dispatcher.ready('')).toBe(true);
    let told = false;
    void first.then(() => {
      told = true;
    });
    answer(0);
    await env.clock.settle();
    expect(told).toBe(false);
    slow.answer();
    expect(values(await first)).toEqual(['a!']);
    expect(memory.stats()).toMatchObject({ keys: 1, claimed: 0 });
  });

  it('sends nothing when the store fails or does not answer, and gives back a claim that comes too late', async () => {
    const memory = memoryIdempotencyStore<string>();
    const slow = slowStore(memory);
    const { env, sink, run } = keyed({ store: slow.store, storeTimeoutMs: 100 });
    const ended = run(['a']);
    await env.clock.advance(100);
    expect(values(await ended)).toEqual(['STORE_FAILED']);
    slow.answer();
    await env.clock.settle();
    expect(memory.stats()).toMatchObject({ claimed: 1 });
    slow.answer();
    expect(memory.stats()).toMatchObject({ claimed: 0 });
    expect(sink.calls).toHaveLength(0);
    expect(env.eventsOf('storeFailed')).toMatchObject([{ layer: 'idempotency', items: 1 }]);
    await env.clock.advance(1000);
    expect(env.clock.timers).toBe(0);
  });

  it.each<[string, Partial<IdempotencyStore<string>>, string]>([
    [
      'throws at the claim',
      {
        claim: () => {
          throw new Error('down');
        },
      },
      'STORE_FAILED',
    ],
    ['gives too few claims', { claim: () => [] }, 'STORE_FAILED'],
    [
      'fails to remember',
      {
        settle: () => {
          throw new Error('down');
        },
      },
      'a!',
    ],
  ])('when the store %s, the item still has its one outcome', async (_, broken, expected) => {
    const { env, sink, run, answer } = keyed({ store: { ...memoryIdempotencyStore<string>(), ...broken } });
    const ended = run(['a']);
    if (sink.calls.length > 0) answer(0);
    expect(values(await ended)).toEqual([expected]);
    expect(env.eventsOf('storeFailed')).toHaveLength(1);
  });

  it('sends no key twice at a time, and none again that is done, in any schedule', async () => {
    const step = fc.record({
      keys: fc.array(fc.constantFrom('a', 'b', 'c', 'd', '-'), { minLength: 1, maxLength: 5 }),
      n: fc.nat(99),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { env, store, sink, run } = keyed();
        const ended: Promise<readonly Outcome<string>[]>[] = [];
        const open = new Set<number>();
        const done = new Set<string>();
        let checked = 0;
        const check = () => {
          for (; checked < sink.calls.length; checked++) {
            const keys = sink.calls[checked]!.items.filter((item) => item !== '-');
            const others = [...open].flatMap((call) => sink.calls[call]!.items);
            for (const key of keys) expect([key, done.has(key), others.includes(key)]).toEqual([key, false, false]);
            expect(new Set(keys).size).toBe(keys.length);
            open.add(checked);
          }
        };
        const finish = async (call: number, n: number) => {
          open.delete(call);
          if (n % 3 === 0) sink.calls[call]!.fail(failure('x', { class: n % 2 === 0 ? 'rejected' : 'transient' }));
          else {
            for (const item of sink.calls[call]!.items) if (item !== '-') done.add(item);
            sink.calls[call]!.reply(sink.calls[call]!.items.map((item) => `${item}!`));
          }
          await env.clock.settle();
          check();
        };
        for (const { keys, n } of steps) {
          ended.push(run(keys));
          check();
          if (n % 2 === 0 && open.size > 0) await finish([...open][n % open.size]!, n);
        }
        while (open.size > 0) await finish([...open][0]!, 1);
        for (const outcomes of await Promise.all(ended)) {
          for (const outcome of outcomes) expect(['ok', 'failed']).toContain(outcome.kind);
        }
        expect(store.stats().claimed).toBe(0);
        expect(env.clock.timers).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it.each([{}, { store: {} }, { store: memoryIdempotencyStore(), storeTimeoutMs: 0 }])('refuses %o', (options) => {
    expect(() => idempotency(options as IdempotencyOptions<string, string>)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });
});

describe('the memory store of idempotency keys', () => {
  it('forgets the oldest beyond its bound, and what is too old; never a claim', async () => {
    const env = testEnv();
    const store = memoryIdempotencyStore<number>({ env, maxKeys: 2, ttlMs: 1000 });
    store.claim(['held', 'a', 'b', 'c']);
    store.settle(['a', 'b', 'c'].map((key, value) => ({ key, kind: 'done', value })));
    expect(store.stats()).toEqual({ keys: 2, claimed: 1, evicted: 1, expired: 0 });
    expect(store.claim(['a', 'b', 'held'])).toEqual([{ kind: 'new' }, { kind: 'done', value: 1 }, { kind: 'busy' }]);
    await env.clock.advance(1000);
    expect(store.claim(['b'])).toEqual([{ kind: 'new' }]);
    expect(store.stats()).toMatchObject({ keys: 0, expired: 2 });
    expect(env.clock.timersStarted).toBe(0);
  });
});
