/** Appends, in one of two ways: until the file may not grow any more, or a little, and then lets the process end by itself. */

import { writeSync } from 'node:fs';
import { openLmdbLog } from '../../packages/sluice/src/lmdb/lmdb-log.js';

const [, , path, way] = process.argv;
const log = openLmdbLog({ path: path!, reserveBytes: 0 });
const event = (id: string) => ({ id, tenant: '_', time: null, receivedAt: 1, payload: Buffer.alloc(100_000, id) });

if (way === 'close') {
  await log.append('s', [event('a')]);
  await log.close();
} else {
  const codes: string[] = [];
  let durable = 0;
  while (codes.length < 2) {
    await log.append('s', [event(`f${durable}-${codes.length}`)]).then(
      () => durable++,
      (error: { code: string; class: string }) => codes.push(`${error.code} ${error.class}`),
    );
  }
  const offered = log.offer('s', [event('offered')]);
  await log.flushed().catch(() => {});
  const readable = (await log.read('s', 0, 0, { maxItems: 1_000_000, maxBytes: 1 << 30 })).length;
  const report = { codes, durable, readable, offered, memoryOnly: log.memoryOnly };
  await log.close();
  writeSync(1, JSON.stringify(report));
}
