/** Tests of QueryBatcher: the timelines of LeetCode 2756, corrected (C1), and what its "guarantees" leave out. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type TestEnv, testEnv } from '../testing/test-env.js';
import { QueryBatcher, type QueryBatcherOptions } from './query-batcher.js';

/** A batcher over a query that takes `tookMs(keys)`; the log holds every dispatch and every answer with its time. */
function world(t: number, tookMs: (keys: readonly string[]) => number, options: QueryBatcherOptions = {}) {
  const env = testEnv();
  const calls: string[] = [];
  const log: string[] = [];
  const query = async (keys: string[]) => {
    calls.push(`${env.clock.now()} ${keys.join()}`);
    const ms = tookMs(keys);
    if (ms > 0) await new Promise<void>((resolve) => env.clock.after(ms, resolve));
    return keys.map((key) => `${key}!`);
  };
  const batcher = new QueryBatcher(query, t, { env, ...options });
  const ask = (key: string) => void batcher.getValue(key).then((value) => log.push(`${env.clock.now()} ${value}`));
  return { env, calls, log, batcher, ask };
}

/** Plays `key@time` in order, then lets everything end. */
async function play(w: { readonly env: TestEnv; ask(key: string): void }, script: string) {
  for (const step of script.split(' ')) {
    const [keys, at] = step.split('@') as [string, string];
    await w.env.clock.advance(Number(at) - w.env.clock.now());
    for (const key of keys) w.ask(key);
  }
  await w.env.clock.advance(10_000);
}

describe('the timelines of LeetCode 2756, corrected (C1)', () => {
  it('R-40: example 1: [a] at 10, [b,c] at 110', async () => {
    const w = world(100, () => 0);
    await play(w, 'a@10 b@20 c@30');
    expect(w.calls).toEqual(['10 a', '110 b,c']);
    expect(w.log).toEqual(['10 a!', '110 b!', '110 c!']);
  });

  it('R-41, D-19: example 2: a query of 100 ms does not delay the next dispatch', async () => {
    const w = world(100, () => 100);
    await play(w, 'a@10 b@20 c@30');
    expect(w.calls).toEqual(['10 a', '110 b,c']);
    expect(w.log).toEqual(['110 a!', '210 b!', '210 c!']);
  });

  it('R-42: example 3: 100 ms a key, e finds it idle at 250, f leaves at 350, and they end in the order a, e, bcd, f', async () => {
    const w = world(100, (keys) => 100 * keys.length);
    await play(w, 'a@10 b@20 c@30 d@40 e@250 f@300');
    expect(w.calls).toEqual(['10 a', '110 b,c,d', '250 e', '350 f']);
    expect(w.log).toEqual(['110 a!', '350 e!', '410 b!', '410 c!', '410 d!', '450 f!']);
  });

  it('C1.6, E-2: starts at 10 and 110 are legal, and at a tie the end of the cooldown comes first', async () => {
    const w = world(100, () => 0);
    await play(w, 'a@10 bc@50 d@110');
    expect(w.calls).toEqual(['10 a', '110 b,c', '210 d']);
  });

  it('E-2: also where the timer has not run yet: an arrival at the very end finds the batch due', async () => {
    const w = world(100, () => 0);
    w.ask('a');
    w.ask('b');
    w.env.clock.block(100);
    w.ask('c');
    expect(w.calls).toEqual(['0 a', '100 b']);
  });
});

describe('the tests of the source', () => {
  it('R-43, D-21: of three concurrent tasks the first call is [a] only', async () => {
    const w = world(100, () => 0);
    await play(w, 'abc@0');
    expect(w.calls).toEqual(['0 a', '100 b,c']);
    expect(w.log.map((line) => line.split(' ')[1])).toEqual(['a!', 'b!', 'c!']);
  });

  it('R-44: zero throttle', async () => {
    const batcher = new QueryBatcher(async (keys: string[]) => keys, 0);
    expect(await batcher.getValue('x')).toBe('x');
  });

  it('R-45: a large delay: a at 200, b and c at 300', async () => {
    const w = world(100, () => 200);
    await play(w, 'abc@0');
    expect(w.log).toEqual(['200 a!', '300 b!', '300 c!']);
  });

  it('R-46: a single request', async () => {
    const batcher = new QueryBatcher(async (keys: string[]) => keys.map(() => 'only'), 100);
    expect(await batcher.getValue('k')).toBe('only');
  });

  it('R-47: multiple independent windows', async () => {
    const w = world(50, () => 0);
    await play(w, 'a@0 b@100');
    expect(w.calls).toEqual(['0 a', '100 b']);
  });
});

describe('the rules', () => {
  it('R-31: is a class of queryMultiple and t, with an async getValue', () => {
    const batcher = new QueryBatcher(async (keys: string[]) => keys, 10);
    expect(batcher.getValue('a')).toBeInstanceOf(Promise);
    expect(() => new QueryBatcher(undefined as never, 10)).toThrow(/needs a function/);
    expect(() => new QueryBatcher(async (keys: string[]) => keys, -1)).toThrow(/throttleMs/);
    expect(() => new QueryBatcher(async (keys: string[]) => keys, 1, { dedup: true } as never)).toThrow(/did you mean dedupe/);
  });

  it('R-32: the very first request calls queryMultiple within getValue, alone', () => {
    const calls: string[][] = [];
    const batcher = new QueryBatcher(async (keys: string[]) => {
      calls.push(keys);
      return keys;
    }, 100);
    void batcher.getValue('a');
    expect(calls).toEqual([['a']]);
    void batcher.getValue('b');
    expect(calls).toEqual([['a']]);
    void batcher.close();
  });

  it('R-33, R-34: never two dispatches within t of each other, and each takes all that has come', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(60), { maxLength: 60 }), fc.integer({ min: 1, max: 200 }), async (gaps, t) => {
        const w = world(t, (keys) => (keys.length * 37) % 150);
        let at = 0;
        let asked = 0;
        for (const gap of gaps) {
          at += gap;
          await w.env.clock.advance(at - w.env.clock.now());
          w.ask(`k${asked++}`);
        }
        await w.env.clock.advance(100_000);
        const times = w.calls.map((call) => Number(call.split(' ')[0]));
        for (let i = 1; i < times.length; i++) expect(times[i]! - times[i - 1]!).toBeGreaterThanOrEqual(t);
        expect(w.calls.flatMap((call) => call.split(' ')[1]!.split(','))).toEqual(gaps.map((_, i) => `k${i}`));
        expect(w.log).toHaveLength(gaps.length);
        expect(w.env.clock.timers).toBe(0);
      }),
    );
  });

  it('R-35: a cooldown that ends with nothing queued leaves no timer, and the next request goes at once', async () => {
    const w = world(100, () => 0);
    await play(w, 'ab@0');
    expect(w.env.clock.timers).toBe(0);
    const before = w.env.clock.timersStarted;
    await w.env.clock.advance(5_000);
    expect(w.env.clock.timersStarted).toBe(before);
    w.ask('c');
    expect(w.calls.at(-1)).toBe(`${w.env.clock.now()} c`);
  });

  it('R-36: later batches may answer first', async () => {
    const w = world(10, (keys) => (keys[0] === 'a' ? 500 : 5));
    await play(w, 'a@0 b@1');
    expect(w.log).toEqual(['15 b!', '500 a!']);
  });

  it('R-37: results belong to keys by position, and keys are passed in the order of arrival', async () => {
    const env = testEnv();
    const batcher = new QueryBatcher(async (keys: string[]) => keys.map((_, i) => i), 10, { env });
    const values = ['z', 'y', 'x', 'w'].map((key) => batcher.getValue(key));
    await env.clock.advance(10);
    expect(await Promise.all(values)).toEqual([0, 0, 1, 2]);
  });

  it.each([0, 1, 1000, 86_400_000])('R-38: takes t = %i, any number of calls, keys of any length', async (t) => {
    const w = world(t, () => 0);
    for (let i = 0; i < 50; i++) w.ask('k'.repeat(i * 20));
    await w.env.clock.advance(t);
    expect(w.log).toHaveLength(50);
  });

  it('R-39, E-43, D-24: with t = 0 each request is dispatched at once by itself, without a timer', async () => {
    const w = world(0, () => 0);
    for (const key of 'abc') w.ask(key);
    expect(w.calls).toEqual(['0 a', '0 b', '0 c']);
    await w.env.clock.settle();
    expect(w.log).toEqual(['0 a!', '0 b!', '0 c!']);
    expect(w.env.clock.timersStarted).toBe(0);
  });

  it('R-49: brute force (t = 0, no dedupe) makes a call a request, and breaks the throttle that the batcher keeps', async () => {
    const brute = world(0, () => 0, { dedupe: false });
    const batched = world(100, () => 0);
    for (const w of [brute, batched]) await play(w, 'aab@0 cc@10');
    expect(brute.calls).toEqual(['0 a', '0 a', '0 b', '10 c', '10 c']);
    expect(batched.calls).toEqual(['0 a', '100 a,b,c']);
  });

  it('R-50: schedules one future dispatch and no polls: no more timers than dispatches', async () => {
    const w = world(100, () => 0);
    for (let at = 0; at < 5_000; at += 7) {
      await w.env.clock.advance(at - w.env.clock.now());
      w.ask(`k${at}`);
      expect(w.env.clock.timers).toBeLessThanOrEqual(1);
    }
    await w.env.clock.advance(1_000);
    expect(w.calls.length).toBeGreaterThan(49);
    expect(w.env.clock.timersStarted).toBeLessThanOrEqual(w.calls.length);
  });

  it('R-51: 100,000 requests in a cooldown are one call more and one timer', async () => {
    const w = world(100, () => 0);
    for (let i = 0; i < 100_000; i++) w.ask(`k${i}`);
    await w.env.clock.advance(100);
    expect([w.calls.length, w.log.length, w.env.clock.timersStarted]).toEqual([2, 100_000, 1]);
  });

  it('R-52: what arrives while queryMultiple is being called is neither lost nor sent twice', async () => {
    const env = testEnv();
    const calls: string[][] = [];
    const values: Promise<string>[] = [];
    const batcher: QueryBatcher<string, string> = new QueryBatcher(
      async (keys: string[]) => {
        calls.push(keys);
        if (calls.length < 4) values.push(batcher.getValue(`inner ${calls.length}`));
        return keys;
      },
      100,
      { env },
    );
    values.push(batcher.getValue('outer'));
    await env.clock.advance(1_000);
    expect(calls).toEqual([['outer'], ['inner 1'], ['inner 2'], ['inner 3']]);
    expect(await Promise.all(values)).toHaveLength(4);
  });

  it('R-54: is the window { throttleMs } of the one engine: its dispatches say so', async () => {
    const w = world(100, () => 0);
    await play(w, 'ab@0');
    expect(w.env.eventsOf('cut').map(({ reason, waitMs }) => [reason, waitMs])).toEqual([
      ['throttle', 0],
      ['throttle', 100],
    ]);
  });
});

describe('guarantees that are not relied on (R-48)', () => {
  it('R-48, E-42, D-20: a query that rejects, rejects its own callers; the cooldown counts, and the next batch works', async () => {
    const env = testEnv();
    const calls: number[] = [];
    const boom = new Error('boom');
    const batcher = new QueryBatcher(
      async (keys: string[]) => {
        calls.push(env.clock.now());
        if (keys.includes('bad')) throw boom;
        return keys;
      },
      100,
      { env },
    );
    const [bad, beside, good] = [batcher.getValue('bad'), batcher.getValue('b'), batcher.getValue('c')];
    await expect(bad).rejects.toMatchObject({ message: 'boom' });
    await env.clock.advance(100);
    expect(await Promise.all([beside, good])).toEqual(['b', 'c']);
    expect(calls).toEqual([0, 100]);
  });

  it('R-48: so does one that throws before it returns a promise', async () => {
    const batcher = new QueryBatcher(
      (() => {
        throw new Error('sync');
      }) as (keys: string[]) => Promise<string[]>,
      0,
    );
    await expect(batcher.getValue('a')).rejects.toThrow('sync');
    await expect(batcher.getValue('a')).rejects.toThrow('sync');
  });

  it.each([0, 1, 3])(
    'R-48, D-22: %i results for two keys fail that batch as RESULT_LENGTH_MISMATCH, and nobody hangs',
    async (n) => {
      const env = testEnv();
      const batcher = new QueryBatcher(async (keys: string[]) => (keys.length === 1 ? keys : new Array(n).fill('x')), 10, {
        env,
      });
      await batcher.getValue('first');
      const both = Promise.allSettled([batcher.getValue('a'), batcher.getValue('b')]);
      await env.clock.advance(10);
      const mismatch = { status: 'rejected', reason: { code: 'RESULT_LENGTH_MISMATCH' } };
      expect(await both).toMatchObject([mismatch, mismatch]);
    },
  );

  it('R-48, E-41: duplicate keys resolve both, asked for once, or twice without dedupe', async () => {
    for (const dedupe of [true, false]) {
      const w = world(100, () => 0, { dedupe });
      await play(w, 'abb@0');
      expect(w.calls).toEqual(['0 a', dedupe ? '100 b' : '100 b,b']);
      expect(w.log).toEqual(['0 a!', '100 b!', '100 b!']);
    }
  });

  it('R-48: something else than an array is BAD_RESULT; undefined and null are values; an Error fails its key alone', async () => {
    const env = testEnv();
    const answers: unknown[] = ['text', [undefined], [null], [new Error('no')]];
    const batcher = new QueryBatcher((async () => answers.shift()) as (keys: string[]) => Promise<string[]>, 0, { env });
    await expect(batcher.getValue('a')).rejects.toMatchObject({ code: 'BAD_RESULT' });
    expect(await batcher.getValue('b')).toBeUndefined();
    expect(await batcher.getValue('c')).toBeNull();
    await expect(batcher.getValue('d')).rejects.toThrow('no');
  });

  it('R-53: a caller that leaves breaks nothing; when all have left, nothing is sent', async () => {
    const w = world(100, () => 50);
    const [one, two] = [new AbortController(), new AbortController()];
    w.ask('a');
    const left = [w.batcher.getValue('b', { signal: one.signal }), w.batcher.getValue('c', { signal: two.signal })];
    one.abort();
    await expect(left[0]).rejects.toMatchObject({ code: 'CANCELLED' });
    two.abort();
    await expect(left[1]).rejects.toMatchObject({ code: 'CANCELLED' });
    await w.env.clock.advance(1_000);
    expect([w.calls, w.env.clock.timers]).toEqual([['0 a'], 0]);
    const inFlight = new AbortController();
    const lost = w.batcher.getValue('d', { signal: inFlight.signal });
    inFlight.abort();
    await expect(lost).rejects.toMatchObject({ code: 'CANCELLED' });
    w.ask('e');
    await w.env.clock.advance(1_000);
    expect(w.log.at(-1)).toMatch(/e!$/);
  });

  it('D-23: a query that is under way is kept by nobody but its callers, and still ends', async () => {
    const w = world(10, () => 5_000);
    await play(w, 'a@0');
    expect(w.log).toEqual(['5000 a!']);
  });
});

describe('maxItems and flush under a throttle', () => {
  it('a fuller queue than maxItems waits for further dispatches: the throttle is a promise to the other side', async () => {
    const w = world(100, () => 0, { maxItems: 2 });
    await play(w, 'abcdef@0');
    expect(w.calls).toEqual(['0 a', '100 b,c', '200 d,e', '300 f']);
  });

  it('flush and close do not wait for the throttle', async () => {
    const w = world(1_000, () => 0);
    for (const key of 'abc') w.ask(key);
    await w.batcher.flush();
    expect(w.calls).toEqual(['0 a', '0 b,c']);
    w.ask('d');
    expect(await w.batcher.close()).toMatchObject({ ok: 1 });
    expect(w.calls).toEqual(['0 a', '0 b,c', '0 d']);
  });
});
