/** Programs made at random, run against the original and ours: every line that a user can observe must be the same. */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { both, type Log, type Make } from '../../test/support/dataloader-pair.js';

type Where = 'now' | 'job' | 'deep' | 'nextTick' | 'immediate';
type Answer = (typeof answers)[number];

const answers = [
  ...(['values', 'values', 'values', 'errors', 'odd', 'throws', 'rejects', 'short', 'nothing', 'plain'] as const),
  ...(['arrayLike', 'thenable', 'promises', 'holes', 'long', 'function'] as const),
] as const;

type Step =
  | {
      readonly kind: 'load' | 'clear' | 'primeValue' | 'primeError' | 'primePromise' | 'primeRejection' | 'primeUndefined';
      readonly key: number;
      readonly where: Where;
    }
  | { readonly kind: 'loadMany' | 'loadArrayLike'; readonly keys: readonly (number | null)[]; readonly where: Where }
  | { readonly kind: 'clearAll' | 'loadFromBatch' | 'clearFromBatch' | 'misuse'; readonly where: Where }
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
    readonly keyFn: 'none' | 'folds' | 'throwsFor1';
    readonly cacheMap: 'default' | 'null' | 'lossy' | 'throwing' | 'forgetful' | 'counting';
    readonly schedule: 'default' | 'immediate' | 'job' | 'synchronous' | 'twice' | 'late';
  };
}

const key = fc.integer({ min: 0, max: 5 });
const where = fc.constantFrom<Where>('now', 'now', 'now', 'job', 'deep', 'nextTick', 'immediate');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('load' as const), key, where }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('clear', 'primeValue', 'primeError', 'primePromise', 'primeRejection', 'primeUndefined'),
      key,
      where,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('loadMany', 'loadMany', 'loadArrayLike'),
      keys: fc.array(fc.oneof({ weight: 20, arbitrary: key }, { weight: 1, arbitrary: fc.constant(null) }), { maxLength: 5 }),
      where,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('clearAll', 'loadFromBatch', 'clearFromBatch', 'misuse'), where }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pause' as const), where }) },
);

const program: fc.Arbitrary<Program> = fc.record({
  steps: fc.array(step, { maxLength: 25 }),
  answers: fc.array(fc.constantFrom<Answer>(...answers), { minLength: 1, maxLength: 6 }),
  turns: fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }),
  options: fc.record(
    {
      batch: fc.boolean(),
      cache: fc.boolean(),
      maxBatchSize: fc.constantFrom(1, 1.5, 2, 3, Number.POSITIVE_INFINITY, Number.NaN),
      keyFn: fc.constantFrom('none', 'none', 'folds', 'throwsFor1'),
      cacheMap: fc.constantFrom('default', 'default', 'default', 'null', 'lossy', 'throwing', 'forgetful', 'counting'),
      schedule: fc.constantFrom('default', 'default', 'default', 'immediate', 'job', 'synchronous', 'twice', 'late'),
    },
    { requiredKeys: ['keyFn', 'cacheMap', 'schedule'] },
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

/** What the next call of the batch function is to do with its loader. */
interface FromBatch {
  load: boolean;
  clear: boolean;
}

/** The loader that a program asks for. */
function loaderOf({ answers, turns, options }: Program, make: Make, log: Log, fromBatch: FromBatch) {
  let call = 0;
  const { batch, cache, maxBatchSize } = options;
  const cacheMap = cacheMapOf(options.cacheMap, log);
  const loader = new make<number, unknown, number>(
    (keys) => {
      const [answer, wait] = [answers[call % answers.length]!, turns[call % turns.length]!];
      log.add(`batch ${call++} ${answer}`, [...keys]);
      if (fromBatch.clear) loader.clear(keys.at(-1)!);
      if (fromBatch.load) {
        fromBatch.load = false;
        log.watch('from batch', loader.load(keys[0]!));
      }
      fromBatch.clear = false;
      if (answer === 'throws') throw new RangeError('threw');
      if (answer === 'plain') return [...keys] as never;
      const later = turnsLater(wait).then(() => answerOf(answer, keys) as unknown[]);
      // biome-ignore lint/suspicious/noThenProperty: a promise of another library, as it were.
      return answer === 'thenable' ? ({ then: (...told: [never, never]) => later.then(...told) } as typeof later) : later;
    },
    {
      ...(batch === undefined ? {} : { batch }),
      ...(cache === undefined ? {} : { cache }),
      ...(maxBatchSize === undefined ? {} : { maxBatchSize }),
      ...(options.keyFn === 'none' ? {} : { cacheKeyFn: keyFns[options.keyFn] }),
      ...(cacheMap === undefined ? {} : { cacheMap }),
      ...(options.schedule === 'default' ? {} : { batchScheduleFn: schedules[options.schedule] }),
    },
  );
  return loader;
}

const keyFns = {
  folds: (each: number) => each % 3,
  throwsFor1(each: number) {
    if (each === 1) throw new RangeError('no key');
    return each;
  },
};

const schedules: Record<Exclude<Program['options']['schedule'], 'default'>, (fn: () => void) => void> = {
  immediate: (fn) => void setImmediate(fn),
  job: (fn) => void Promise.resolve().then(fn),
  synchronous: (fn) => fn(),
  twice: (fn) => void Promise.resolve().then(fn).then(fn),
  late: (fn) => void setImmediate(() => setImmediate(fn)),
};

type OfLoader = Promise<unknown>;

/** A cache as users make them: one that forgets, one that fails, one that is asked what it was asked. */
function cacheMapOf(kind: Program['options']['cacheMap'], log: Log) {
  if (kind === 'default') return undefined;
  if (kind === 'null') return null;
  const map = new Map<number, OfLoader>();
  if (kind === 'lossy') {
    const set = (each: number, value: OfLoader) => {
      if (map.size > 1) map.delete(map.keys().next().value!);
      return map.set(each, value);
    };
    return { get: (each: number) => map.get(each), set, delete: (each: number) => map.delete(each), clear: () => map.clear() };
  }
  if (kind === 'forgetful')
    return { get: () => undefined, set: () => undefined, delete: () => undefined, clear: () => undefined };
  const told =
    <A extends unknown[], R>(name: string, fn: (...given: A) => R) =>
    (each: number, ...rest: unknown[]) => {
      log.add(`${name}`, each);
      if (kind === 'throwing' && name === 'set' && each === 2) throw new RangeError('cache is full');
      return fn(...([each, ...rest] as A));
    };
  return {
    get: told('get', (each: number) => map.get(each)),
    set: told('set', (each: number, value: OfLoader) => void map.set(each, value)),
    delete: told('delete', (each: number) => void map.delete(each)),
    clear: () => log.add('clear', map.size) ?? map.clear(),
  };
}

function answerOf(answer: Answer, keys: readonly number[]): unknown {
  if (answer === 'rejects') throw new TypeError('rejected');
  if (answer === 'nothing') return undefined;
  if (answer === 'function') return () => keys;
  if (answer === 'arrayLike') return Object.fromEntries([...keys.entries(), ['length', keys.length]]);
  if (answer === 'promises')
    return keys.map((each) => (each % 2 === 1 ? Promise.reject(new Error(`late ${each}`)) : Promise.resolve(each)));
  if (answer === 'holes') return new Array(keys.length);
  if (answer === 'long') return [...keys, 1];
  if (answer === 'short') return keys.slice(1);
  if (answer === 'errors') return keys.map((each) => new Error(`no ${each}`));
  if (answer === 'odd') return keys.map((each) => (each % 2 === 1 ? new Error(`odd ${each}`) : each));
  return keys.map((each) => `v${each}`);
}

async function run(made: Program, make: Make, log: Log): Promise<void> {
  const fromBatch = { load: false, clear: false };
  const loader = loaderOf(made, make, log, fromBatch);
  const act = (each: Step, name: string) => {
    try {
      perform(each, name);
    } catch (thrown) {
      log.add(`${name} threw`, String(thrown));
    }
  };
  const perform = (each: Step, name: string) => {
    if (each.kind === 'load') log.watch(name, loader.load(each.key));
    else if (each.kind === 'loadMany') log.watch(name, loader.loadMany(each.keys as number[]));
    else if (each.kind === 'loadArrayLike') log.watch(name, loader.loadMany({ ...each.keys, length: each.keys.length } as never));
    else if (each.kind === 'misuse') log.watch(name, loader.load(undefined as never));
    else if (each.kind === 'clear') loader.clear(each.key);
    else if (each.kind === 'clearAll') loader.clearAll();
    else if (each.kind === 'loadFromBatch') fromBatch.load = true;
    else if (each.kind === 'clearFromBatch') fromBatch.clear = true;
    else if (each.kind === 'primeValue') loader.prime(each.key, `primed ${name}`);
    else if (each.kind === 'primeError') loader.prime(each.key, new Error(`primed ${name}`));
    else if (each.kind === 'primePromise') loader.prime(each.key, Promise.resolve(`promised ${name}`));
    else if (each.kind === 'primeUndefined') loader.prime(each.key, undefined);
    else if (each.kind === 'primeRejection') loader.prime(each.key, handled(Promise.reject(new Error(`promised ${name}`))));
  };
  for (const [i, each] of made.steps.entries()) {
    const name = `${i}${each.kind}`;
    if (each.kind === 'pause') await pauseIn(each.where);
    else if (each.where === 'now') act(each, name);
    else void pauseIn(each.where).then(() => act(each, name));
  }
  // Not until all are settled: under some schedules some never are.
  for (let i = 0; i < 20; i++) await pauseIn('immediate');
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

/** A rejection that the program would else be told of as unhandled. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
