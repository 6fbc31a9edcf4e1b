/** Cancellation: who leaves, and what that means for the others. Run it with `npm run example cancellation`. */

import { createBatcher, createLoader } from 'sluice';

const users = createLoader(
  async (ids: readonly number[], { signal }) => {
    console.log('one call for', ids);
    if (ids.includes(9)) {
      // A call that nobody waits for any more is aborted.
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      console.log('the call for 9 was aborted');
    }
    return new Map(ids.map((id) => [id, `user ${id}`]));
  },
  { window: { maxDelayMs: 5 } },
);

const caller = new AbortController();
const leaves = users.load(1, { signal: caller.signal }).catch((error) => console.log('left:', error.code));
const stays = users.load(1); // waits for the same key, and gets it
const other = users.load(2, { signal: caller.signal }).catch(() => {}); // the only one for key 2: it is not sent
caller.abort();
await Promise.all([leaves, other]);
console.log(await stays);

await users.load(9, { timeoutMs: 20 }).catch((error) => console.log('no answer in time:', error.code, error.class));

const batcher = createBatcher<string>({
  sink: { write: async (items) => console.log('wrote', items) },
  window: { maxDelayMs: 5 },
});
const undo = new AbortController();
const undone = batcher.push('b', { signal: undo.signal }).catch((error) => console.log('not sent:', error.code));
batcher.offer('a');
undo.abort();
await undone;
const report = await batcher.close();
console.log(`ok ${report.ok}, cancelled ${batcher.stats().cancelled}`);
