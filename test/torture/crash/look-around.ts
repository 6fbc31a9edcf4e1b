/** What a program finds in its store when it starts: everything, so that it can be compared with what was promised. */

import { deadLetterId } from '../../../packages/sluice/src/log/dead-letter.js';
import type { Log } from '../../../packages/sluice/src/log/log.js';
import type { LogRecord } from '../../../packages/sluice/src/log/record.js';
import { keyOf, payloadOf, tenantOf } from './event.js';
import type { FoundRecord, Report } from './reports.js';

/** Tells all that is in the store. */
export async function lookAround(log: Log, tell: (report: Report) => void): Promise<void> {
  for (const { stream, partition, firstOffset, nextOffset } of await log.streams()) {
    tell({ is: 'stream', stream, partition, first: firstOffset, next: nextOffset });
    const records: FoundRecord[] = [];
    for (let next = firstOffset; ; ) {
      const page = await log.read(stream, partition, next, { maxItems: 2_000, maxBytes: 16 << 20 });
      if (page.length === 0) break;
      for (const record of page) records.push([record.offset, record.id, isWhole(record), record.redrive?.id ?? null]);
      next = page.at(-1)!.offset + 1;
    }
    tell({ is: 'records', stream, partition, records });
  }
  for (const { group, stream, partition, expired } of await log.groups()) {
    const { cursor, settledAbove } = (await log.position(group, stream, partition))!;
    const above = settledAbove.map(({ first, last }) => [first, last] as const);
    tell({ is: 'group', group, stream, partition, cursor, above, lost: expired });
  }
  for (let after: string | undefined; ; ) {
    const page = await log.letters.page({ limit: 1_000, ...(after === undefined ? {} : { after }) });
    for (const { id: letter, group, record, state } of page.letters) {
      const { stream, partition, offset, id } = record;
      if (letter !== deadLetterId(group, stream, partition, offset)) tell({ is: 'problem', what: `${letter} is of ${offset}` });
      tell({
        is: 'letter',
        letter,
        group,
        stream,
        partition,
        offset,
        id,
        whole: isWhole(record),
        redriven: state === 'redriven',
      });
    }
    after = page.next;
    if (after === undefined) break;
  }
  tell({ is: 'letters', count: log.letters.items });
  tell({ is: 'found' });
}

/** Whether a record is what its id stands for, byte for byte. */
export function isWhole({ id, payload, key, tenant, time, receivedAt }: LogRecord): boolean {
  return (
    Buffer.compare(payload, payloadOf(id)) === 0 &&
    key === keyOf(id) &&
    tenant === tenantOf(id) &&
    time === null &&
    receivedAt === 1_700_000_000_000
  );
}
