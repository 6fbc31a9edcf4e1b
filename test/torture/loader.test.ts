import type { Invariant } from 'sluice/simulate';
import { describe, expect, it } from 'vitest';
import { campaign } from './campaign.js';
import { type PlantedLoader, playLoader } from './loader-schedule.js';

const schedules = 5000;

it(`R-163: ${schedules} schedules of loads, leaving, time-outs, flush, close and bad batch functions break no promise of the loader`, {
  timeout: 600_000,
}, async () => {
  expect((await campaign('loader', 1, schedules))?.message).toBeUndefined();
});

it('R-163: the same seed plays the same schedule of a loader', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const once = await playLoader(seed, { traced: true });
    expect(await playLoader(seed, { traced: true })).toEqual(once);
  }
});

const older = { kept: { key: -1, call: 0 } };

const different = { count: 0 };

function promisedLess(name: 'maxItems' | 'maxInFlight' | 'maxHeldWaiters' | 'maxHeldKeys'): PlantedLoader {
  return { options: (options) => ({ ...options, [name]: options[name]! + 2 }) };
}

const canaries: readonly [string, Invariant, PlantedLoader][] = [
  [
    'a value from a call that began before it was asked for',
    'boundary',
    { answer: (answer) => ({ ...answer, call: answer.call - 3 }) },
  ],
  [
    'the value of another key',
    'settledOnce',
    {
      answer(answer) {
        const before = older.kept;
        older.kept = answer;
        return { ...answer, key: before.key };
      },
    },
  ],
  ['a caller who is told twice', 'settledOnce', { settleTwice: true }],
  [
    'a key that is asked for twice in one call',
    'settledOnce',
    { options: (options) => ({ ...options, keyBy: (key) => `${key} ${different.count++}` }) },
  ],
  [
    'a cleared key that is kept',
    'boundary',
    { loader: (loader) => ({ ...loader, clear: () => {}, clearAll: () => {}, prime: () => {} }) },
  ],
  ['a call with too many keys', 'bounds', promisedLess('maxItems')],
  ['a call too many at once', 'bounds', promisedLess('maxInFlight')],
  ['a caller too many', 'bounds', promisedLess('maxHeldWaiters')],
  ['a key too many', 'bounds', promisedLess('maxHeldKeys')],
  ['keys of two partitions in one call', 'bounds', { options: ({ partition: _, ...options }) => options }],
  [
    'a window that is too long',
    'delay',
    {
      options: (options) => ({ ...options, window: typeof options.window === 'object' ? { maxDelayMs: 300 } : options.window! }),
    },
  ],
  [
    'a call that nobody counts',
    'tally',
    {
      loader: (loader) => ({
        ...loader,
        find: (key, options) => (key === 3 ? Promise.resolve(undefined) : loader.find(key, options)),
      }),
    },
  ],
  ['a caller who is never told', 'rest', { loader: (loader) => ({ ...loader, find: () => new Promise(() => {}) }) }],
  ['a flush that never ends', 'rest', { loader: (loader) => ({ ...loader, flush: () => new Promise(() => {}) }) }],
  [
    'a timer that is left running',
    'rest',
    {
      options: (options) => ({
        ...options,
        layers: [
          ...options.layers!,
          // On the clock of the world: those on the clock of the layers end with the loader.
          (inner) => ({
            ready: (lane) => inner.ready(lane),
            dispatch(batch, context) {
              options.env!.clock.after(1e9, () => {});
              return inner.dispatch(batch, context);
            },
          }),
        ],
      }),
    },
  ],
  [
    "a listener that is left on a caller's signal",
    'rest',
    {
      loader: (loader) => ({
        ...loader,
        load(key, options) {
          options?.signal?.addEventListener('abort', () => {});
          return loader.load(key, options);
        },
      }),
    },
  ],
];

describe('the schedules of a loader see what is planted (canaries)', () => {
  it.each(canaries)('%s', async (_, invariant, planted) => {
    const seen = new Set<Invariant>();
    for (let seed = 1; seed <= 200 && !seen.has(invariant); seed++) {
      for (const violation of (await playLoader(seed, { planted })).violations) seen.add(violation.invariant);
    }
    expect([...seen]).toContain(invariant);
  });
});
