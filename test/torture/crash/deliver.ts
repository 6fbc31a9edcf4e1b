/** Delivers: a consumer as a service has it, whose sink tells what it takes and whose log tells what is settled. */

import type { Sink } from '../../../packages/sluice/src/core/dispatcher.js';
import { failure } from '../../../packages/sluice/src/core/errors.js';
import { createConsumer } from '../../../packages/sluice/src/log/consumer.js';
import type { LogRecord } from '../../../packages/sluice/src/log/record.js';
import { isRefused } from './consume.js';
import { isWhole } from './look-around.js';
import type { Work } from './program.js';

/** Which records, for whom. */
export interface Delivery {
  readonly group: string;
  readonly stream: string;
  /** How long its sink takes for each batch. */
  readonly slowMs: number;
}

/** Delivers until it is told to stop, and then what is left, as far as a second allows. */
export async function deliverOn(work: Work, of: Delivery): Promise<void> {
  const { log, stop, tell } = work;
  const { group, stream } = of;
  const telling: typeof log = Object.create(log, {
    settle: {
      async value(...[owner, moves]: Parameters<typeof log.settle>) {
        await log.settle(owner, moves);
        if (moves.position === undefined) return;
        const { cursor, settledAbove } = moves.position;
        const above = settledAbove.map(({ first, last }) => [first, last] as const);
        tell({ is: 'settled', group, stream, partition: owner.partition, cursor, above });
      },
    },
  });
  const consumer = await createConsumer({
    log: telling,
    stream,
    group,
    window: { maxDelayMs: 3 },
    maxItems: 150,
    // Here the process dies all the time, and no record is to blame.
    poison: { maxCrashes: Number.POSITIVE_INFINITY, maxStarts: Number.POSITIVE_INFINITY },
    retry: { baseMs: 2, maxDelayMs: 20 },
    sink: sinkOf(work, of),
  });
  if (!stop.aborted) await new Promise((resolve) => stop.addEventListener('abort', resolve));
  await consumer.drain({ deadlineMs: 1_000 });
}

/** Fails now and then before it has taken anything, so that what it takes is tried again, and the rest of its key has to wait for it. */
function sinkOf({ draw, pause, tell }: Work, { group, stream, slowMs }: Delivery): Sink<LogRecord, undefined> {
  // One that refuses some of a batch and takes the rest cannot be atomic.
  const atomic = group === 'search' && draw.chance(0.5);
  const fails = () => draw.chance(0.05);
  const down = () => failure('not now', { code: 'DOWN', class: 'transient' });
  return {
    idempotent: true,
    atomic,
    async write(records) {
      await pause(slowMs + draw.int(0, 2));
      if (atomic && fails()) throw down();
      const taken = new Map<number, [offset: number, id: string][]>();
      const results = records.map((record) => {
        const { partition, offset, id } = record;
        if (!isWhole(record)) tell({ is: 'problem', what: `${group} was given ${id} with other bytes` });
        if (isRefused(group, record)) return failure(`no sink takes ${id}`, { code: 'REFUSED', class: 'permanent' });
        if (!atomic && fails()) return down();
        const known = taken.get(partition) ?? [];
        known.push([offset, id]);
        taken.set(partition, known);
        return undefined;
      });
      for (const [partition, its] of taken) tell({ is: 'delivered', group, stream, partition, records: its, inOrder: true });
      return results;
    },
  };
}
