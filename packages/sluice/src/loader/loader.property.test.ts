import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { failure, type SluiceError } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { retry } from '../layers/index.js';
import { type TestEnv, testEnv } from '../testing/index.js';
import { createLoader, type Loader } from './loader.js';

type Step =
  | { readonly kind: 'load'; readonly key: number; readonly finds: boolean; readonly signal: number; readonly timeoutMs: number }
  | { readonly kind: 'abort'; readonly signal: number }
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'block'; readonly ms: number }
  | { readonly kind: 'flush' };

/** How the backend treats one call. */
interface Treatment {
  readonly latencyMs: number;
  readonly result: 'values' | 'map' | 'some' | 'short' | 'throws' | 'rejects' | 'hangs';
}

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('load' as const),
      key: fc.nat(3),
      finds: fc.boolean(),
      signal: fc.nat(5),
      timeoutMs: fc.constantFrom(-1, -1, -1, 0, 7, 40),
    }),
  }, // prettier-ignore
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('abort' as const), signal: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('block' as const), ms: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const }) },
);
const treatment: fc.Arbitrary<Treatment> = fc.record({
  latencyMs: fc.constantFrom(0, 0, 3, 25, 90),
  result: fc.constantFrom('values', 'values', 'map', 'some', 'short', 'throws', 'rejects', 'hangs'),
});
const schedule = fc.record({
  steps: fc.array(step, { maxLength: 60 }),
  treatments: fc.array(treatment, { minLength: 1, maxLength: 8 }),
  window: fc.constantFrom('tick' as const, 'whileBusy' as const, { maxDelayMs: 0 }, { maxDelayMs: 10 }),
  maxItems: fc.constantFrom(1, 2, 5, 1000),
  maxInFlight: fc.constantFrom(1, 2, 1000),
  maxHeldWaiters: fc.constantFrom(3, 1000),
  retries: fc.boolean(),
  closeAfterMs: fc.constantFrom(0, 20, 1000),
});
type Schedule = typeof schedule extends fc.Arbitrary<infer T> ? T : never;

interface Asked {
  readonly key: number;
  readonly callsBefore: number;
  settled: number;
  value?: { readonly key: number; readonly batch: number } | undefined;
}

it('settles every waiter once, keeps the tally, and gives nobody a value from before it asked, on any schedule', async () => {
  await fc.assert(
    fc.asyncProperty(schedule, async (given) => {
      const env = testEnv();
      const batches = new Map<string, number>();
      const repeated: string[] = [];
      const loader = loaderOf(env, given, batches, repeated);
      const controllers = [0, 1, 2].map(() => new AbortController());
      const asked: Asked[] = [];
      for (const each of given.steps) {
        await take(each, env, loader, controllers, asked, () => batches.size);
        expectBalance(loader);
      }
      const closed = loader.close({ deadlineMs: given.closeAfterMs });
      await env.clock.advance(100_000);
      expectBalance(loader);
      const report = await closed;
      const { ok, failed, dead, cancelled, dropped } = loader.stats();
      expect(asked.map((one) => one.settled)).toEqual(asked.map(() => 1));
      expect(ok + failed + dead + cancelled + dropped + loader.stats().rejected).toBe(asked.length);
      expect(dropped).toBe(report.droppedHeld + report.droppedInFlight);
      for (const { key, callsBefore, value } of asked) {
        if (value !== undefined) expect([value.key, value.batch >= callsBefore]).toEqual([key, true]);
      }
      expect(repeated).toEqual([]);
      expect(env.clock.timers).toBe(0);
      expect(controllers.flatMap(({ signal }) => getEventListeners(signal, 'abort'))).toEqual([]);
    }),
    { numRuns: 1000 },
  );
});

function loaderOf(env: TestEnv, given: Schedule, batches: Map<string, number>, repeated: string[]) {
  let calls = 0;
  const { treatments, window, maxItems, maxInFlight, maxHeldWaiters, retries } = given;
  return createLoader<number, { key: number; batch: number }>(
    (keys, { batchId }) => {
      const cut = batchId.split('.')[0]!;
      if (!batches.has(cut)) batches.set(cut, batches.size);
      const batch = batches.get(cut)!;
      const { result, latencyMs } = treatments[calls++ % treatments.length]!;
      if (result === 'throws') throw failure('broken', { class: 'transient' });
      if (new Set(keys).size < keys.length) repeated.push(batchId);
      const values = keys.map((key) => ({ key, batch }));
      const answer = () => {
        if (result === 'map') return new Map(keys.map((key, i) => [key, values[i]!]));
        if (result === 'some') return values.map((value, i) => (i % 3 === 1 ? failure('bad') : i % 3 === 2 ? undefined : value));
        return result === 'short' ? values.slice(1) : values;
      };
      return new Promise((resolve, reject) => {
        if (result === 'hangs') return;
        env.clock.after(latencyMs, () => (result === 'rejects' ? reject(new Error('down')) : resolve(answer())));
      });
    },
    {
      env,
      window,
      maxItems,
      maxInFlight,
      maxHeldWaiters,
      timeoutMs: 60,
      // A backend that hangs for good would else stop everything, which is what the bound is for.
      maxAbandoned: Number.POSITIVE_INFINITY,
      maxHeldKeys: Number.POSITIVE_INFINITY,
      layers: retries ? [retry({ maxAttempts: 3, baseMs: 5 })] : [],
    },
  );
}

type TestLoader = Loader<number, { key: number; batch: number }>;

async function take(
  each: Step,
  env: TestEnv,
  loader: TestLoader,
  controllers: AbortController[],
  asked: Asked[],
  calls: () => number,
): Promise<void> {
  if (each.kind === 'advance') return env.clock.advance(each.ms);
  if (each.kind === 'block') return env.clock.block(each.ms);
  if (each.kind === 'abort') return controllers[each.signal]!.abort();
  if (each.kind === 'flush') return void loader.flush();
  const one: Asked = { key: each.key, callsBefore: calls(), settled: 0 };
  asked.push(one);
  const signal = controllers[each.signal]?.signal;
  const options = { ...(signal === undefined ? {} : { signal }), ...(each.timeoutMs < 0 ? {} : { timeoutMs: each.timeoutMs }) };
  const load = each.finds ? loader.find(each.key, options) : loader.load(each.key, options);
  load.then(
    (value) => {
      one.settled++;
      one.value = value;
    },
    (_: SluiceError) => {
      one.settled++;
    },
  );
}

function expectBalance(loader: TestLoader): void {
  const { keys, ...calls } = loader.stats();
  expect(tallyImbalance(calls)).toBe(0);
  expect(tallyImbalance(keys)).toBe(0);
  expect(calls.held + calls.inFlight).toBeGreaterThanOrEqual(keys.held + keys.inFlight);
}
