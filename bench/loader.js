/** Loader against `dataloader` 2.2.3: nanoseconds a load. */

import DataLoader from 'dataloader';
import { createLoader } from 'sluice';
import { heading, nanosecondsPerOperation, report } from './support.js';

const loads = 100_000;
const round = 1_000;
const batch = async (keys) => keys;

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
  'sluice createLoader (dedupe, no cache)': () => inRounds(bind(createLoader(batch, { maxItems: round })), keyOf),
});

const bind = (loader) => (key) => loader.load(key);

export async function benchLoader() {
  heading(`load(key), unique keys, rounds of ${round}`);
  report('ns/load', await nanosecondsPerOperation(variants((i) => i)), 'dataloader, its cache on (default)');
  heading(`load(key), each key 20 times in a round of ${round}`);
  report('ns/load', await nanosecondsPerOperation(variants((i) => Math.floor(i / 20))), 'dataloader, its cache on (default)');
}
