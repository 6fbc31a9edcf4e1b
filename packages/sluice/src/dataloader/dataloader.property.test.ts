/** Programs made at random, run against the original and ours: every line that a user can observe must be the same. */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { both, type Log, type Make } from '../../test/support/dataloader-pair.js';

type Where = 'now' | 'job' | 'deep' | 'nextTick' | 'immediate';
type Answer = 'values' | 'errors' | 'odd' | 'throws' | 'rejects' | 'short' | 'nothing' | 'plain';

type Step =
  | {
      readonly kind: 'load' | 'clear' | 'primeValue' | 'primeError' | 'primePromise';
      readonly key: number;
      readonly where: Where;
    }
  | { readonly kind: 'loadMany'; readonly keys: readonly number[]; readonly where: Where }
  | { readonly kind: 'clearAll' | 'loadFromBatch'; readonly where: Where }
  | { readonly kind: 'pause'; readonly where: Where };

interface Program {
  readonly steps: readonly Step[];
  readonly answers: readonly Answer[];
  /** How long each call takes, in turns of the event loop. */
  readonly turns: readonly number[];
  readonly options: {
    readonly batch?: boolean;
    readonly cache?: boolean;
    readonly maxBatchSize?: number;
    readonly folds: boolean;
    readonly schedule: 'default' | 'immediate' | 'job';
  };
}

const key = fc.integer({ min: 0, max: 5 });
const where = fc.constantFrom<Where>('now', 'now', 'now', 'job', 'deep', 'nextTick', 'immediate');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('load' as const), key, where }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom('clear', 'primeValue', 'primeError', 'primePromise'), key, where }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('loadMany' as const), keys: fc.array(key, { maxLength: 5 }), where }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('clearAll', 'loadFromBatch'), where }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pause' as const), where }) },
);

const program: fc.Arbitrary<Program> = fc.record({
  steps: fc.array(step, { maxLength: 25 }),
  answers: fc.array(
    fc.constantFrom<Answer>('values', 'values', 'values', 'errors', 'odd', 'throws', 'rejects', 'short', 'nothing', 'plain'),
    { minLength: 1, maxLength: 6 },
  ),
  turns: fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }),
  options: fc.record(
    {
      batch: fc.boolean(),
      cache: fc.boolean(),
      maxBatchSize: fc.constantFrom(1, 2, 3, Number.POSITIVE_INFINITY),
      folds: fc.boolean(),
      schedule: fc.constantFrom('default', 'default', 'immediate', 'job'),
    },
    { requiredKeys: ['folds', 'schedule'] },
  ),
});

it('does what the original does, whatever the program', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.info(`seed ${seed}`);
  await fc.assert(
    fc.asyncProperty(program, async (made) => {
      const { original, ours } = await both((make, log) => run(made, make, log));
      expect(ours).toEqual(original);
    }),
    { seed, numRuns: 1500 },
  );
}, 120_000);

/** The loader that a program asks for. */
function loaderOf({ answers, turns, options }: Program, make: Make, log: Log, fromBatch: { wanted: boolean }) {
  let call = 0;
  const loader = new make<number, unknown, number>(
    (keys) => {
      const [answer, wait] = [answers[call % answers.length]!, turns[call % turns.length]!];
      log.add(`batch ${call++} ${answer}`, [...keys]);
      if (fromBatch.wanted) {
        fromBatch.wanted = false;
        log.watch('from batch', loader.load(keys[0]!));
      }
      if (answer === 'throws') throw new RangeError('threw');
      if (answer === 'plain') return [...keys] as never;
      return turnsLater(wait).then(() => answerOf(answer, keys) as unknown[]);
    },
    {
      ...options,
      ...(options.folds ? { cacheKeyFn: (each) => each % 3 } : {}),
      ...(options.schedule === 'default'
        ? {}
        : {
            batchScheduleFn: options.schedule === 'job' ? (fn) => void Promise.resolve().then(fn) : (fn) => void setImmediate(fn),
          }),
    },
  );
  return loader;
}

function answerOf(answer: Answer, keys: readonly number[]): unknown {
  if (answer === 'rejects') throw new TypeError('rejected');
  if (answer === 'nothing') return undefined;
  if (answer === 'short') return keys.slice(1);
  if (answer === 'errors') return keys.map((each) => new Error(`no ${each}`));
  if (answer === 'odd') return keys.map((each) => (each % 2 === 1 ? new Error(`odd ${each}`) : each));
  return keys.map((each) => `v${each}`);
}

async function run(made: Program, make: Make, log: Log): Promise<void> {
  const fromBatch = { wanted: false };
  const loader = loaderOf(made, make, log, fromBatch);
  const running: Promise<unknown>[] = [];
  const act = (each: Step, name: string) => {
    if (each.kind === 'load') running.push(log.watch(name, loader.load(each.key)).catch(() => {}));
    else if (each.kind === 'loadMany') running.push(log.watch(name, loader.loadMany(each.keys)));
    else if (each.kind === 'clear') loader.clear(each.key);
    else if (each.kind === 'clearAll') loader.clearAll();
    else if (each.kind === 'loadFromBatch') fromBatch.wanted = true;
    else if (each.kind === 'primeValue') loader.prime(each.key, `primed ${name}`);
    else if (each.kind === 'primeError') loader.prime(each.key, new Error(`primed ${name}`));
    else if (each.kind === 'primePromise') loader.prime(each.key, Promise.resolve(`promised ${name}`));
  };
  for (const [i, each] of made.steps.entries()) {
    const name = `${i}${each.kind}`;
    if (each.kind === 'pause') await pauseIn(each.where);
    else if (each.where === 'now') act(each, name);
    else running.push(pauseIn(each.where).then(() => act(each, name)));
  }
  for (let i = 0; i < 12; i++) await pauseIn('immediate');
  await Promise.all(running);
}

async function pauseIn(place: Where): Promise<void> {
  if (place === 'deep') for (let i = 0; i < 10; i++) await undefined;
  if (place === 'nextTick') await new Promise<void>((resolve) => process.nextTick(resolve));
  if (place === 'immediate') await new Promise<void>((resolve) => setImmediate(resolve));
  await undefined;
}

async function turnsLater(turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await pauseIn(i % 2 === 0 ? 'job' : 'immediate');
}
