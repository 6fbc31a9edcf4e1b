/**
 * Greedy: the open loop of a tenant that wants too much, in a process of its own. In the process of another tenant it would delay that one's
 * requests before they are sent: the bodies of 200,000 events a second are made in one thread.
 */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { eventsRequest } from './bodies.js';
import { openLoop } from './open-loop.js';

/** The open loop with requests of `events` events, sent with `key`; its latencies are not told. */
export function greedyLoop(url, shape) {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify({ url, shape })]);
  return new Promise((resolve, reject) => {
    child.once('message', ({ statuses, taken, takenPerSecond }) =>
      resolve({ statuses: new Map(statuses), taken, takenPerSecond }),
    );
    child.once('close', (code) => reject(new Error(`the greedy one ended with ${code}`)));
  });
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url, shape } = JSON.parse(process.argv[2]);
  const { events, key, ...rest } = shape;
  const { statuses, taken, takenPerSecond } = await openLoop(url, {
    ...rest,
    newRequest: () => eventsRequest('durable', events, key),
  });
  process.send({ statuses: [...statuses], taken, takenPerSecond }, () => process.disconnect());
}
