/** Loader against `dataloader` 2.2.3, and against the least that a loader can do: nanoseconds a load. */

import DataLoader from 'dataloader';
import { createLoader } from 'sluice';
import { DataLoader as DropIn } from 'sluice/dataloader';
import { bareLoader } from './bare-loader.js';
import { heading, nanosecondsPerOperation, report } from './support.js';

const loads = 100_000;
const round = 1_000;
const batch = async (keys) => keys;

/** What is done once a batch is compiled late: a service has so many batches in its first seconds. */
const settings = { warmUps: 6 };

async function inRounds(load, keyOf) {
  for (let start = 0; start < loads; start += round) {
    const results = new Array(round);
    for (let i = 0; i < round; i++) results[i] = load(keyOf(start + i));
    await Promise.all(results);
  }
  return loads;
}

/** A loader a pass: DataLoader's cache grows for ever otherwise. */
const variants = (keyOf) => ({
  'dataloader, its cache on (default)': () => inRounds(bind(new DataLoader(batch, { maxBatchSize: round })), keyOf),
  'dataloader, cache off (no dedupe either)': () =>
    inRounds(bind(new DataLoader(batch, { cache: false, maxBatchSize: round })), keyOf),
  'sluice/dataloader, the drop-in': () => inRounds(bind(new DropIn(batch, { maxBatchSize: round })), keyOf),
  'the floor: a map, and a promise a caller': () => inRounds(bind(bareLoader(batch)), keyOf),
  'sluice createLoader (dedupe, no cache)': () => inRounds(bind(createLoader(batch, { maxItems: round })), keyOf),
});

const manyKeys = Array.from({ length: 10_000 }, (_, i) => i);

/** A loader a call: the cache would answer the second. */
async function many(make) {
  for (let i = 0; i < 10; i++) await make().loadMany(manyKeys);
  return 10 * manyKeys.length;
}

const bind = (loader) => (key) => loader.load(key);

export async function benchLoader() {
  const reference = 'dataloader, its cache on (default)';
  const compare = async (what, keyOf) => {
    heading(`load(key), ${what} in a round of ${round}`);
    report('ns/load', await nanosecondsPerOperation(variants(keyOf), settings), reference);
  };
  await compare('unique keys', (i) => i);
  await compare('each key 20 times in a row', (i) => Math.floor(i / 20));
  await compare('fifty keys 20 times in turn', (i) => Math.floor(i / round) * 50 + (i % 50));
  heading('loadMany(10,000), unique keys');
  const results = await nanosecondsPerOperation(
    {
      [reference]: () => many(() => new DataLoader(batch)),
      'sluice/dataloader, the drop-in': () => many(() => new DropIn(batch)),
      'the floor: a map, and one promise': () => many(() => bareLoader(batch)),
      'sluice createLoader (dedupe, no cache)': () => many(() => createLoader(batch, { maxItems: 10_000 })),
    },
    settings,
  );
  report('ns/key', results, reference);
}
