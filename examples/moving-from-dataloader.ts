/** Moving from DataLoader: the drop-in, then `createLoader`. Run it with `npm run example moving-from-dataloader`. */

import { createLoader } from 'sluice';
import { DataLoader } from 'sluice/dataloader';

const people = new Map([
  [1, { id: 1, name: 'Ann' }],
  [2, { id: 2, name: 'Bob' }],
]);

// 1. One line changes: the import. Values in key order, an Error for what is missing, a cache that keeps everything.
const before = new DataLoader(async (ids: readonly number[]) => {
  console.log('DataLoader asks for', ids);
  return ids.map((id) => people.get(id) ?? new Error(`no user ${id}`));
});
const [ann, nobody] = await before.loadMany([1, 3]);
console.log(ann, nobody instanceof Error && nobody.message);
await before.load(1); // from the cache

// 2. The calls change: a Map of what there is, no order to keep; a cache that is bounded; a call that can be left.
const after = createLoader(
  async (ids: readonly number[]) => {
    console.log('createLoader asks for', ids);
    return new Map([...people].filter(([id]) => ids.includes(id)));
  },
  { cache: { maxItems: 1_000, ttlMs: 60_000 } },
);
console.log(await Promise.all([after.load(1), after.find(3)]));
console.log(await after.load(1, { signal: AbortSignal.timeout(1_000) })); // from the cache
await after.load(3).catch((error) => console.log(error.code, error.key));
await after.close();
