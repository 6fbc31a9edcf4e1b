/**
 * The program that is tortured: it appends, consumes, parks, sends again, purges and lets retention work on one store, all at once, and tells
 * what the log has promised. It is killed at any moment, so it never assumes that it gets any further.
 */

import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { openLmdbLog } from '../../../packages/sluice/src/lmdb/lmdb-log.js';
import type { Log } from '../../../packages/sluice/src/log/log.js';
import { drawFrom } from '../draw.js';
import { appendOn } from './append.js';
import { consumeOn } from './consume.js';
import { deliverOn } from './deliver.js';
import { lookAround } from './look-around.js';
import { redriveOn } from './redrive.js';
import type { Report, Start } from './reports.js';

/** What the parts of the program share. */
export interface Work {
  readonly log: Log;
  readonly life: number;
  readonly draw: ReturnType<typeof drawFrom>;
  /** Set when the store is to be closed in order. */
  readonly stop: AbortSignal;
  tell(report: Report): void;
  pause(ms: number): Promise<void>;
}

const orders = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await orders.next();
if (first.done !== true) await live(JSON.parse(first.value) as Start);

async function live({ path, life, seed, again }: Start): Promise<void> {
  const log = openLmdbLog({ path, reserveBytes: 0 });
  const stop = new AbortController();
  const work: Work = {
    log,
    life,
    draw: drawFrom(seed * 100_003 + life),
    stop: stop.signal,
    tell,
    pause: pauseUntil(stop.signal),
  };
  await lookAround(log, tell);
  await orders.next();
  await log.defineStream('orders', { partitions: 2, ids: { maxItems: 5_000 } });
  await log.defineStream('audit', { retention: { maxBytes: 100_000, policy: 'expire' }, ids: { maxItems: 5_000 } });
  await Promise.all([
    log.createGroup('billing', 'orders'),
    log.createGroup('search', 'orders'),
    log.createGroup('billing', 'audit'),
  ]);
  const parts = [
    appendOn(work, again),
    consumeOn(work, { group: 'billing', stream: 'orders', partition: 0, slowMs: 0 }),
    consumeOn(work, { group: 'billing', stream: 'orders', partition: 1, slowMs: 3 }),
    deliverOn(work, { group: 'search', stream: 'orders', slowMs: 0 }),
    deliverOn(work, { group: 'billing', stream: 'audit', slowMs: 20 }),
    redriveOn(work),
    retainOn(work),
  ];
  void Promise.all(parts).catch((error: unknown) => {
    tell({ is: 'problem', what: `the log refused: ${error instanceof Error ? error.stack : String(error)}` });
  });
  await orders.next();
  stop.abort();
  await Promise.all(parts);
  await log.close();
  process.stdin.destroy();
}

async function retainOn({ log, draw, pause, stop }: Work): Promise<void> {
  while (!stop.aborted) {
    await pause(draw.int(20, 80));
    await log.retain();
  }
}

/** Written at once: what was told before a kill is in the pipe. */
function tell(report: Report): void {
  const line = Buffer.from(`${JSON.stringify(report)}\n`);
  for (let at = 0; at < line.length; ) {
    try {
      at += writeSync(1, line, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

function pauseUntil(stop: AbortSignal): (ms: number) => Promise<void> {
  return (ms) =>
    new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        stop.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      stop.addEventListener('abort', done);
      if (stop.aborted) done();
    });
}
