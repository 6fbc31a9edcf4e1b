/** Reads: three callers, one call. Run it with `npm run example reads`. */

import { createLoader } from 'sluice';

const people = new Map([
  [1, 'Ann'],
  [2, 'Bob'],
]);

const names = createLoader(async (ids: readonly number[]) => {
  console.log('one call for', ids);
  return new Map(ids.filter((id) => people.has(id)).map((id) => [id, people.get(id)!]));
});

console.log(await Promise.all([names.load(1), names.load(2), names.load(1)]));

// A missing key fails alone.
const [ann, nobody] = await names.loadSettled([1, 3]);
console.log(ann?.status === 'fulfilled' && ann.value, '·', nobody?.status === 'rejected' && nobody.reason.code);
await names.close();
