/** The three laws of the dispatcher, for every layer and for random stacks of layers. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Dispatcher, Layer } from '../core/dispatcher.js';
import { failure, SluiceError } from '../core/errors.js';
import type { IdempotencyStore } from '../core/idempotency-store.js';
import type { Outcome } from '../core/outcome.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { batchOf, contextOf } from '../testing/made-batch.js';
import { type ScriptedSink, scriptedSink } from '../testing/scripted-sink.js';
import { type TestEnv, testEnv } from '../testing/test-env.js';
import { adaptive } from './adaptive.js';
import { bisect } from './bisect.js';
import { breaker } from './breaker.js';
import { deadLetter } from './dead-letter.js';
import { idempotency } from './idempotency.js';
import { limit } from './limit.js';
import { memoryDeadLetterStore } from './memory-dead-letter-store.js';
import { memoryIdempotencyStore } from './memory-idempotency-store.js';
import { observe } from './observe.js';
import { rate } from './rate.js';
import { retry } from './retry.js';
import { timeout } from './timeout.js';

/** Layers on a sink that doubles numbers. */
type Doubler = Layer<number, number>;

const layers: Record<string, () => Doubler> = {
  retry: () => retry({ maxAttempts: 3, baseMs: 10 }),
  bisect: () => bisect({ maxExtraCalls: 20 }),
  'limit 1': () => limit({ maxInFlight: 1 }),
  'limit 3': () => limit({ maxInFlight: 3 }),
  'timeout 1': () => timeout({ timeoutMs: 50, maxAbandoned: 1 }),
  'timeout 2': () => timeout({ timeoutMs: 80, maxAbandoned: 2 }),
  'retry, bounded': () => retry({ maxAttempts: 4, baseMs: 10, maxWaiting: 1, budget: { burst: 2, minPerSecond: 5 } }),
  breaker: () => breaker({ maxFailures: 2, cooldownMs: 30 }),
  'breaker by rate, rejecting': () =>
    breaker({ failureRate: { ratio: 0.5, minCalls: 2, windowMs: 200 }, cooldownMs: 40, open: 'reject' }),
  'dead letters': () => deadLetter({ store: memoryDeadLetterStore() }),
  'dead letters without room': () => deadLetter({ store: memoryDeadLetterStore({ maxLetters: 2 }) }),
  idempotency: () => idempotency({ store: memoryIdempotencyStore(), keyOf: String }),
  'idempotency, store later': () => idempotency({ store: laterStore(), keyOf: String }),
  adaptive: () => adaptive({ initialLimit: 3, maxLimit: 6 }),
  'adaptive, one to begin with': () => adaptive({ initialLimit: 1 }),
  observe: () => observe({ label: 'here' }),
  'rate by calls': () => rate({ perSecond: 50, burst: 2 }),
  'rate by items': () => rate({ perSecond: 100, burst: 3, by: 'items' }),
};

/** A store that answers with promises. */
function laterStore(): IdempotencyStore<number> {
  const store = memoryIdempotencyStore<number>();
  return { claim: async (keys) => store.claim(keys), settle: async (settlements) => store.settle(settlements) };
}

/** What a test does to a stack, step by step. */
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('dispatch' as const), n: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('answer' as const), n: fc.nat(1000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('advance' as const), n: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('abort' as const), n: fc.nat(20) }) },
);

interface Step {
  readonly kind: 'dispatch' | 'answer' | 'advance' | 'abort';
  readonly n: number;
}

/** The answers that a sink may give: all good, some bad, all bad by a throw, nonsense. The number decides. */
function answer(call: ScriptedSink<number, number>['calls'][number], n: number): void {
  const { items } = call;
  const results = items.map((item) =>
    item % 7 === n % 7 ? failure('bad', { class: n % 2 === 0 ? 'permanent' : 'transient' }) : item * 2,
  );
  if (n % 5 === 0)
    call.fail(failure('whole', { class: (['permanent', 'transient', 'unknown', 'blocked', 'rejected'] as const)[(n / 5) % 5]! }));
  else if (n % 11 === 0) call.fail('not an error');
  else if (n % 13 === 0) call.reply(results.slice(1));
  else call.reply(results);
}

/** Runs the steps against a dispatcher and checks the laws; throws where one is broken. */
async function obeysTheLaws(
  make: (inner: Dispatcher<number, number>, env: TestEnv) => Dispatcher<number, number>,
  steps: readonly Step[],
  asksAStore = false,
) {
  const env = testEnv({ seed: 3 });
  const sink = scriptedSink<number, number>();
  const dispatcher = make(sinkDispatcher(sink, env), env);
  const controllers: AbortController[] = [];
  const problems: unknown[] = [];
  let dispatched = 0;
  const answered = new Set<number>();
  let value = 0;

  const dispatch = (count: number) => {
    const advised = dispatcher.ready('') === true;
    const callsBefore = sink.calls.length;
    const values = Array.from({ length: count }, () => value++);
    const controller = new AbortController();
    controllers.push(controller);
    const promise = dispatcher.dispatch(batchOf(...values), contextOf({ signal: controller.signal, idempotent: true }));
    // Second law: advice is true only if the call begins in this same turn, or is refused in it.
    let refused = false;
    // A store that answers later is the exception: then the layer says that it is busy until it knows.
    const isBusy = asksAStore && dispatcher.ready('') !== true;
    if (advised && !isBusy && sink.calls.length !== callsBefore + 1) {
      void promise.then((outcomes) => {
        refused = outcomes.every((outcome) => outcome.kind === 'failed' && outcome.failure.class === 'rejected');
      });
      void env.clock.settle().then(() => {
        if (!refused) problems.push(new Error('ready said true, and the call did not begin'));
      });
    }
    const check = (outcomes: readonly Outcome<number>[]) => {
      // First law: one outcome per item, in item order.
      expect(outcomes).toHaveLength(count);
      outcomes.forEach((outcome, i) => {
        if (outcome?.kind === 'ok') expect(outcome.value).toBe(values[i]! * 2);
        else expect(outcome).toMatchObject({ kind: expect.stringMatching(/failed|dead/), failure: expect.any(SluiceError) });
      });
      const copy = outcomes.slice();
      settled.push({ outcomes, copy });
    };
    promise.then(check).catch((problem) => problems.push(problem));
    dispatched++;
  };
  const settled: { outcomes: readonly Outcome<number>[]; copy: Outcome<number>[] }[] = [];

  for (const { kind, n } of steps) {
    if (kind === 'dispatch') dispatch(n);
    else if (kind === 'advance') await env.clock.advance(n);
    else if (kind === 'abort') controllers[n]?.abort(new Error('left'));
    else {
      const open = sink.calls.map((_, i) => i).filter((i) => !answered.has(i));
      const chosen = open[n % Math.max(1, open.length)];
      if (chosen !== undefined) {
        answered.add(chosen);
        answer(sink.calls[chosen]!, n);
      }
      await env.clock.settle();
    }
  }
  for (let i = 0; i < 400 && (settled.length + problems.length < dispatched || env.clock.timers > 0 || sink.open > 0); i++) {
    for (let call = 0; call < sink.calls.length; call++) {
      if (answered.has(call)) continue;
      answered.add(call);
      sink.calls[call]!.reply(sink.calls[call]!.items.map((item) => item * 2));
    }
    await env.clock.advance(20);
  }
  for (const problem of problems) throw problem;
  expect(settled).toHaveLength(dispatched);
  // Third law: what was resolved has not been touched since; and at rest nothing runs.
  for (const { outcomes, copy } of settled) expect(outcomes).toEqual(copy);
  expect([env.clock.timers, sink.open]).toEqual([0, 0]);
  // And it is ready again, at once or after a while (an open breaker, a bucket that fills).
  let ready = dispatcher.ready('');
  for (let i = 0; i < 100 && ready !== true; i++) {
    await env.clock.advance(20);
    ready = dispatcher.ready('');
  }
  expect(ready).toBe(true);
  await env.clock.advance(2000);
  expect(env.clock.timers).toBe(0);
}

const steps = fc.array(step, { maxLength: 40 });

describe('the laws of the dispatcher', () => {
  it.each(Object.keys(layers))('hold for %s', async (name) => {
    const property = fc.asyncProperty(steps, (taken) =>
      obeysTheLaws((inner, env) => layers[name]!()(inner, env), taken, name.includes('later')),
    );
    await fc.assert(property, { numRuns: 100 });
  });

  it('hold for random stacks of layers', async () => {
    const names = fc.array(fc.constantFrom(...Object.keys(layers)), { maxLength: 5 });
    const property = fc.asyncProperty(names, steps, (chosen, taken) =>
      obeysTheLaws(
        (inner, env) =>
          stack(
            chosen.map((name) => layers[name]!()),
            inner,
            env,
          ),
        taken,
        chosen.some((name) => name.includes('later')),
      ),
    );
    await fc.assert(property, { numRuns: 300 });
  });

  it.each<[string, Doubler]>([
    [
      'a layer that waits between dispatch and the call',
      (inner) => ({
        ready: () => true,
        dispatch: (batch, context) => Promise.resolve().then(() => inner.dispatch(batch, context)),
      }),
    ],
    [
      'a layer that returns the outcomes in another order',
      (inner) => ({
        ready: () => true,
        dispatch: async (batch, context) => [...(await inner.dispatch(batch, context))].reverse(),
      }),
    ],
    [
      'a layer that loses an outcome',
      (inner) => ({ ready: () => true, dispatch: async (batch, context) => (await inner.dispatch(batch, context)).slice(0, 2) }),
    ],
    [
      'a layer that rejects',
      (inner) => ({
        ready: () => true,
        dispatch: async (batch, context) => {
          const outcomes = await inner.dispatch(batch, context);
          if (outcomes.some((outcome) => outcome.kind === 'failed')) throw failure('broken');
          return outcomes;
        },
      }),
    ],
    [
      'a layer that is never ready again',
      (inner) => {
        let used = false;
        return {
          ready: () => (used ? new Promise(() => {}) : true),
          dispatch: (batch, context) => {
            used = true;
            return inner.dispatch(batch, context);
          },
        };
      },
    ],
  ])('are seen to be broken by %s (canary)', async (_, broken) => {
    const property = fc.asyncProperty(steps, (taken) => obeysTheLaws((inner, env) => broken(inner, env), taken));
    const { failed } = await fc.check(property, { numRuns: 200, endOnFailure: true });
    expect(failed).toBe(true);
  });
});
