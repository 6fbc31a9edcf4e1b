/** Consumes: one owner of one partition, who settles what it reads in parts and in any order, and parks what its sink never takes. */

import type { NewDeadLetter } from '../../../packages/sluice/src/log/dead-letter.js';
import { holds, rangesOf, settledPosition } from '../../../packages/sluice/src/log/ranges.js';
import type { LogRecord } from '../../../packages/sluice/src/log/record.js';
import { isPoison } from './event.js';
import { isWhole } from './look-around.js';
import type { Work } from './program.js';

/** Which records, for whom. */
export interface Consumption {
  readonly group: string;
  readonly stream: string;
  readonly partition: number;
  /** How long its sink takes for each part. */
  readonly slowMs: number;
}

/** Consumes until it is told to stop. */
export async function consumeOn({ log, draw, pause, stop, tell }: Work, of: Consumption): Promise<void> {
  const { group, stream, partition, slowMs } = of;
  const owner = await log.claim(group, stream, partition);
  let { position } = owner;
  let next = position.cursor;
  for (const { first, last } of owner.suspects) {
    if (first < position.cursor || position.settledAbove.some((range) => range.first <= last && first <= range.last))
      tell({ is: 'problem', what: `${group} suspects ${first} to ${last}, which it has settled` });
  }
  while (!stop.aborted) {
    const page = await log.read(stream, partition, next, { maxItems: draw.int(1, 400), maxBytes: 1 << 20 });
    if (page.length === 0) {
      await pause(2);
      continue;
    }
    next = page.at(-1)!.offset + 1;
    const fresh = page.filter(({ offset }) => offset >= position.cursor && !holds(position.settledAbove, offset));
    await log.inFlight(owner, rangesOf(fresh.map(({ offset }) => offset)));
    for (const part of inAnyOrder(fresh)) {
      if (slowMs > 0) await pause(slowMs);
      await deliver(part);
    }
  }
  await log.release(owner);

  async function deliver(part: readonly LogRecord[]): Promise<void> {
    const takes = (record: LogRecord) => !isRefused(group, record);
    const taken = part.filter(takes);
    for (const record of part)
      if (!isWhole(record)) tell({ is: 'problem', what: `${group} was given ${record.id} with other bytes` });
    const records = taken.map(({ offset, id }) => [offset, id] as const);
    // Its parts come in any order: that is what it is for.
    tell({ is: 'delivered', group, stream, partition, records, inOrder: false });
    position = settledPosition(position.cursor, [...position.settledAbove, ...rangesOf(part.map(({ offset }) => offset))]);
    const told = position;
    const delivered = rangesOf(taken.map(({ offset }) => offset));
    await log.settle(owner, { position: told, delivered, dead: part.filter((record) => !takes(record)).map(letterOf) });
    const above = told.settledAbove.map(({ first, last }) => [first, last] as const);
    tell({ is: 'settled', group, stream, partition, cursor: told.cursor, above });
  }

  function inAnyOrder(records: readonly LogRecord[]): LogRecord[][] {
    const parts: LogRecord[][] = [];
    for (let at = 0; at < records.length; ) {
      const size = draw.int(1, 120);
      parts.splice(draw.int(0, parts.length), 0, records.slice(at, at + size));
      at += size;
    }
    return parts;
  }
}

/** Group `billing` refuses some records, until they are sent again. */
export function isRefused(group: string, { id, redrive }: { readonly id: string; readonly redrive: unknown }): boolean {
  return group === 'billing' && redrive === null && isPoison(id);
}

function letterOf(record: LogRecord): NewDeadLetter {
  const failure = { code: 'REFUSED', class: 'permanent', message: `no sink takes ${record.id}` } as const;
  const at = 1_700_000_000_001;
  const tries = [{ ...failure, at }];
  return { ...failure, record, attempts: 1, timeouts: 0, crashes: 0, tries, firstFailedAt: at, lastFailedAt: at };
}
