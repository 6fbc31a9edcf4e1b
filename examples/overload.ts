/** Overload: a sink that is too slow, and what its callers are told. Run it with `npm run example overload`. */

import { type Batcher, type BatcherOptions, createBatcher } from 'sluice';

let answer = () => {};
const slow = {
  write: () =>
    new Promise<void>((resolve) => {
      answer = resolve;
    }),
};
const options: BatcherOptions<string> = { sink: slow, window: 'whileBusy', maxInFlight: 1, maxHeldItems: 3 };

const waiting = createBatcher(options);
console.log(['a', 'b', 'c', 'd'].map((item) => waiting.offer(item)));
const added = waiting.add('e').then(() => console.log('e is in: there was room again'));
console.log('waiting for room:', waiting.stats().waiting);
answer(); // the sink has written what it got: room for e
await added;
await drain(waiting);

const refusing = createBatcher({ ...options, overflow: 'reject' });
for (const item of ['a', 'b', 'c']) refusing.offer(item);
await refusing.push('d').catch((error) => console.log('refused:', error.code, error.class));
await drain(refusing);

/** Closes a batcher whose sink answers each call in the next turn. */
async function drain(batcher: Batcher<string>): Promise<void> {
  const pulse = setInterval(() => answer());
  await batcher.close();
  clearInterval(pulse);
  const { offered, accepted, rejected, ok } = batcher.stats();
  console.log({ offered, accepted, rejected, ok });
}
