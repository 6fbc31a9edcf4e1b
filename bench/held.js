/** What held items cost: `node --expose-gc held.js offer|push|promise` (an array of promises made by hand) prints bytes an item at 1,000,000, and nanoseconds there and at 10,000. */

import { createBatcher } from 'sluice';

const call = process.argv[2];

/** The least that holds an item and a promise for it. */
function byHand() {
  const held = [];
  return {
    promise: (item) => new Promise((resolve) => held.push({ item, resolve })),
    async close() {
      for (const { resolve } of held) resolve();
    },
  };
}

/** Takes in so many and sends nothing. Everything stays reachable until it is measured. */
async function hold(count) {
  const sink = { write: async () => {} };
  const unbounded = { maxItems: Infinity, maxHeldItems: Infinity, maxHeldBytes: Infinity, timeoutMs: Infinity };
  const batcher = call === 'promise' ? byHand() : createBatcher({ sink, window: { maxDelayMs: 1e9 }, ...unbounded });
  const world = { batcher, given: Array.from({ length: count }, (_, i) => ({ i })), kept: new Array(count).fill(undefined) };
  gc();
  const before = process.memoryUsage().heapUsed;
  const startedAt = performance.now();
  for (let i = 0; i < count; i++) world.kept[i] = batcher[call](world.given[i]);
  const ns = ((performance.now() - startedAt) * 1e6) / count;
  gc();
  const bytes = (process.memoryUsage().heapUsed - before) / count;
  await batcher.close({ deadlineMs: Infinity });
  if (world.kept.length !== world.given.length) throw new Error('unreachable');
  return { bytes, ns };
}

const few = [];
for (let i = 0; i < 41; i++) few.push((await hold(10_000)).ns);
const fewNs = few.slice(11).sort((a, b) => a - b)[15];
const many = await hold(1_000_000);
console.log(JSON.stringify({ bytes: many.bytes, manyNs: many.ns, fewNs }));
