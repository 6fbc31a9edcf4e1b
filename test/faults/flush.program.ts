/** Appends until the disk fails it, then tells what the log said of it: run with a library that makes the syncs fail. */

import { writeSync } from 'node:fs';
import { openLmdbLog } from '../../packages/sluice/src/lmdb/lmdb-log.js';

const [, , path, flushTimeoutMs] = process.argv;
const log = openLmdbLog({ path: path!, reserveBytes: 0, flushTimeoutMs: Number(flushTimeoutMs) });
const event = (n: number) => ({ id: `e${n}`, tenant: '_', time: null, receivedAt: 1, payload: Buffer.alloc(1_000, n) });

let durable = 0;
const failures: string[] = [];
while (failures.length < 2) {
  try {
    await log.append('s', [event(durable)]);
    durable++;
  } catch (error) {
    const { code, class: kind, message } = error as { code: string; class: string; message: string };
    failures.push(`${code} ${kind}: ${message}`);
  }
}
const offered = log.offer('s', [event(durable)]);
const stopped = (await log.stopped) as Error & { code: string };
const readable = (await log.read('s', 0, 0, { maxItems: 100_000, maxBytes: 1 << 30 })).length;
writeSync(1, JSON.stringify({ durable, failures, offered, stopped: stopped.code, readable }));
// A flush that hangs holds lmdb's thread, and an exit in order waits for it.
process.kill(process.pid, 'SIGKILL');
