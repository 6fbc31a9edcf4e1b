/** The program that the kill test kills: appends from many writers at once and prints each id once it is acknowledged. */

import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { openLmdbLog } from '../src/lmdb/lmdb-log.js';

const writers = 50;

/** The bytes that an id stands for: of many lengths, so that chunks and pages end anywhere. */
export function payloadOf(id: string): Buffer {
  const digest = createHash('sha256').update(id).digest();
  return Buffer.concat(Array.from({ length: 1 + (digest[0]! % 20) }, () => digest)).subarray(digest[1]! % 32);
}

const [, program, path, prefix, mode] = process.argv;
if (program?.endsWith('log-kill.program.js') && path !== undefined)
  await (mode === 'fill' ? fill(path) : main(path, prefix ?? '', mode === 'close'));

async function main(folder: string, names: string, closes: boolean): Promise<void> {
  const log = openLmdbLog({ path: folder });
  let next = 0;
  const append = async () => {
    const ids = Array.from({ length: 1 + (next % 7) }, () => `${names}-${next++}`);
    const events = ids.map((id) => ({
      id,
      generated: next % 2 === 0,
      tenant: '_',
      time: null,
      receivedAt: 1,
      payload: payloadOf(id),
    }));
    await log.append('s', events);
    writeSync(1, `${ids.join('\n')}\n`);
  };
  const write = async () => {
    do await append();
    while (!closes);
  };
  await Promise.all(Array.from({ length: writers }, write));
  await log.close();
}

/** Appends until it fails, twice, and prints what the log says then. */
async function fill(folder: string): Promise<void> {
  const log = openLmdbLog({ path: folder });
  const codes: string[] = [];
  let acknowledged = 0;
  while (codes.length < 2) {
    const event = {
      id: `f${acknowledged}-${codes.length}`,
      tenant: '_',
      time: null,
      receivedAt: 1,
      payload: Buffer.alloc(100_000),
    };
    await log.append('s', [event]).then(
      () => acknowledged++,
      (error: { code: string; class: string }) => codes.push(`${error.code} ${error.class}`),
    );
  }
  const offered = log.offer('s', [{ id: 'offered', tenant: '_', time: null, receivedAt: 1, payload: Buffer.alloc(100_000) }]);
  await log.flushed().catch(() => {});
  const readable = (await log.read('s', 0, 0, { maxItems: 1_000_000, maxBytes: 1 << 30 })).length;
  const report = { codes, acknowledged, readable, offered, memoryOnly: log.memoryOnly };
  await log.close();
  writeSync(1, JSON.stringify(report));
}
