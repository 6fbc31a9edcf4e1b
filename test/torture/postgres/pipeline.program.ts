/**
 * The process that is killed: a log, and a consumer with a ledger, into a table without any key. `append` prints the ids that are
 * durable until it is killed; `step` dies at its n-th step; `finish` delivers what is left and prints what became of it.
 */

import { writeSync } from 'node:fs';
import pg from 'pg';
import { openLmdbLog } from '../../../packages/sluice/src/lmdb/lmdb-log.js';
import { createConsumer } from '../../../packages/sluice/src/log/consumer.js';
import type { Log } from '../../../packages/sluice/src/log/log.js';
import type { LogRecord } from '../../../packages/sluice/src/log/record.js';
import { ledgerSink } from '../../../packages/sluice/src/postgres/ledger.js';
import { postgresSink } from '../../../packages/sluice/src/postgres/sink.js';

/** What a process is told, as JSON. */
export interface PipelineOrder {
  readonly mode: 'append' | 'step' | 'finish';
  readonly log: string;
  readonly connectionString: string;
  /** Part of each id that this process appends. */
  readonly prefix: string;
  /** With `step`: events to append, and the step to die at. */
  readonly events?: number;
  readonly dieAt?: number;
  /** Without, as a canary: then rows must be found twice. Default true. */
  readonly ledger?: boolean;
}

/** What `step` and `finish` print at the end. */
export interface PipelineEnd {
  readonly steps: number;
  readonly ok: number;
  readonly dead: number;
  readonly leftInLog: number;
  /** Ids of the dead letters. */
  readonly letters: readonly string[];
}

/** Every seventh event cannot be written: its text holds a NUL; another seventh breaks a constraint. */
export function isBad(n: number): boolean {
  return n % 7 === 3 || n % 7 === 5;
}

if (process.argv[1]?.endsWith('pipeline.mjs') && process.argv[2] !== undefined)
  await main(JSON.parse(process.argv[2]) as PipelineOrder);

async function main(order: PipelineOrder): Promise<void> {
  const steps = countSteps(order.dieAt ?? Number.POSITIVE_INFINITY);
  const log = steps.watch(await openLmdbLog({ path: order.log }));
  if (order.mode === 'step') await log.append('events', eventsOf(order.prefix, 0, order.events ?? 0));
  const pool = new pg.Pool({ connectionString: order.connectionString, max: 3 });
  const target = {
    pool,
    table: 'torture',
    createTable: 'CREATE TABLE torture (id text NOT NULL, text text CHECK (length(text) < 8))',
    columns: { id: (record: LogRecord) => record.id, text: (record: LogRecord) => textOf(record) },
  };
  const sink =
    order.ledger === false
      ? postgresSink<LogRecord>(target)
      : ledgerSink<LogRecord>({ ...target, ledger: { log, group: 'g', mergeEvery: 3 } });
  const consumer = await createConsumer({
    log,
    stream: 'events',
    group: 'g',
    sink,
    maxItems: order.mode === 'step' ? 4 : 50,
    maxInFlight: 2,
    window: { maxDelayMs: 5 },
    retry: { baseMs: 20, maxDelayMs: 100 },
    // Hundreds of kills in a row are no crash loop here: a consumer that rests delivers nothing that a kill could double, nor is a record to blame.
    poison: { maxStarts: Number.POSITIVE_INFINITY, maxCrashes: Number.POSITIVE_INFINITY },
  });
  if (order.mode === 'append') await appendForEver(log, order.prefix);
  const { ok, dead, leftInLog } = await consumer.drain({ deadlineMs: 600_000 });
  const letters = await letterIds(log);
  await sink.close();
  await pool.end();
  await log.close();
  const end: PipelineEnd = { steps: steps.count(), ok, dead, leftInLog, letters };
  writeSync(1, `${JSON.stringify(end)}\n`);
}

async function letterIds(log: Log): Promise<string[]> {
  const ids: string[] = [];
  for (let after: string | undefined; ; ) {
    const page = await log.letters.page({ limit: 10_000, ...(after === undefined ? {} : { after }) });
    ids.push(...page.letters.map(({ record }) => record.id));
    if (page.next === undefined) return ids;
    after = page.next;
  }
}

function textOf(record: LogRecord): string {
  return Buffer.from(record.payload).toString();
}

function eventsOf(prefix: string, from: number, count: number) {
  return Array.from({ length: count }, (_, i) => ({
    id: `${prefix}-${from + i}`,
    tenant: '_',
    time: null,
    receivedAt: 1,
    payload: Buffer.from((from + i) % 7 === 3 ? 'bad \0' : (from + i) % 7 === 5 ? 'far too long' : 'good'),
  }));
}

async function appendForEver(log: Log, prefix: string): Promise<never> {
  for (let next = 0; ; next += 20) {
    const events = eventsOf(prefix, next, 20);
    await log.append('events', events);
    writeSync(1, `${events.map(({ id }) => id).join(' ')}\n`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Steps: a statement is sent, a statement is answered, the log begins to settle, the log has settled. */
function countSteps(dieAt: number) {
  let count = 0;
  const die = () => process.kill(process.pid, 'SIGKILL');
  const step = () => {
    count++;
    return count === dieAt;
  };
  type Query = (...args: unknown[]) => unknown;
  const prototype = pg.Client.prototype as unknown as { query: Query };
  const { query } = prototype;
  prototype.query = function (this: unknown, ...args) {
    const answer = query.apply(this, args);
    // In a turn of its own: what `pg` has corked is on its way by then.
    if (step()) setImmediate(die);
    else if (answer instanceof Promise) void answer.then(() => step() && die()).catch(() => {});
    return answer;
  };
  return {
    count: () => count,
    watch(log: Log): Log {
      const { settle } = log;
      log.settle = async (...args) => {
        if (step()) die();
        await settle.apply(log, args);
        if (step()) die();
      };
      return log;
    },
  };
}
