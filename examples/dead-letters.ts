/** A consumer of the durable log whose sink refuses a record: where that goes, how it is looked at, and how it comes back. */

import { failure } from 'sluice';
import { createConsumer, createMemoryLog, type LogRecord, redriveLetters } from 'sluice/log';

const log = createMemoryLog(); // openLmdbLog({ path }) of sluice/lmdb keeps it on disk
let refused = 'e2';
let delivered = 0;
let wake: (() => void) | undefined;
const sink = {
  idempotent: true,
  async write(records: readonly LogRecord[]) {
    const ids = records.map((record) => record.id);
    if (ids.includes(refused)) throw failure(`line 2: the sink refuses "${refused}"`, { code: 'REFUSED' });
    console.log('wrote', ids.join(' '));
    delivered += ids.length;
    wake?.();
  },
};
const event = (n: number) => ({
  id: `e${n}`,
  tenant: '_',
  time: null,
  receivedAt: Date.now(),
  payload: Buffer.from(`{"n":${n}}`),
});
const until = (count: number) =>
  new Promise<void>((resolve) => {
    wake = () => {
      if (delivered >= count) resolve();
    };
    wake();
  });

const consumer = await createConsumer({ log, stream: 'orders', group: 'billing', sink });
await log.append('orders', [1, 2, 3, 4].map(event));
await until(3);
console.log('e2 is', await consumer.settled(0, 1, new AbortController().signal));

for (const { code, pattern, items, sampleId } of await log.letters.groups()) {
  console.log(`${items} × ${code}: ${pattern}`);
  const { record, attempts, tries } = (await log.letters.get(sampleId))!;
  console.log(`${sampleId} holds ${String(record.payload)}, after ${attempts} attempts, ${tries.length} of which failed`);
}

console.log('a dry run would send', (await redriveLetters(log, { filter: { code: 'REFUSED' }, dryRun: true }).done).matched);
refused = 'nothing any more';
const job = redriveLetters(log, { filter: { code: 'REFUSED' }, perSecond: 50 });
console.log((await job.done).redriven, 'redriven');
await until(4);

const { ok, dead, leftInLog } = await consumer.drain({ deadlineMs: 1_000 });
console.log({ ok, dead, leftInLog });
await log.close();
