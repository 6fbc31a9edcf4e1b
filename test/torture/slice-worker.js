/** Slice worker: plays slices of a campaign in a thread of its own, and says after each what it has found. */

import { parentPort } from 'node:worker_threads';
import { loadSource } from '../load-source.js';

const { campaign } = await loadSource('test/torture/campaign.ts');
parentPort.on('message', async ({ name, from, count }) => {
  const found = await campaign(name, from, count);
  parentPort.postMessage({ name, from, count, found: found?.message });
});
// The first word: it is ready for a slice.
parentPort.postMessage({});
