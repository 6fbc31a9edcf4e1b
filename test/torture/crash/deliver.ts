/** Delivers: a consumer as a service has it, whose sink tells what it takes and whose log tells what is settled. */

import { failure } from '../../../packages/sluice/src/core/errors.js';
import { createConsumer } from '../../../packages/sluice/src/log/consumer.js';
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
export async function deliverOn({ log, pause, stop, tell }: Work, { group, stream, slowMs }: Delivery): Promise<void> {
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
    sink: {
      idempotent: true,
      async write(records) {
        if (slowMs > 0) await pause(slowMs);
        const results: (void | Error)[] = [];
        for (const record of records) {
          const { partition, offset, id } = record;
          if (!isWhole(record)) tell({ is: 'problem', what: `${group} was given ${id} with other bytes` });
          if (isRefused(group, record)) results.push(failure(`no sink takes ${id}`, { code: 'REFUSED', class: 'permanent' }));
          else {
            tell({ is: 'delivered', group, stream, partition, records: [[offset, id]] });
            results.push(undefined);
          }
        }
        return results;
      },
    },
  });
  if (!stop.aborted) await new Promise((resolve) => stop.addEventListener('abort', resolve));
  await consumer.drain({ deadlineMs: 1_000 });
}
