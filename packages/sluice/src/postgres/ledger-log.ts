/** ledger-log: what the log says of a partition, to hold the ledger against: how far the group has come, and where the log ends. */

import type { Log } from '../log/log.js';

/** What a ledger asks of a log. */
export type LedgerLog = Pick<Log, 'id' | 'groups' | 'streams' | 'flushed'>;

/** Where the group and the log stand in one partition. */
export interface LedgerPlace {
  /** Of the group's last claim, or seek. */
  readonly epoch: number;
  /** All below is settled, or was jumped over by a seek before that epoch. */
  readonly cursor: number;
  /** The offset that the next record gets. */
  readonly end: number;
}

/** Asks the log. */
export interface LedgerPlaces {
  now(stream: string, partition: number): Promise<LedgerPlace | undefined>;
  /** As it was when the first ledger of this log was opened: what is appended to an older log soon hides that it is older. */
  atFirst(stream: string, partition: number): Promise<LedgerPlace | undefined>;
  /** Resolves once all that `now` has told is on disk. */
  onDisk(): Promise<void>;
}

/** For all sinks of a log: one that is made later would take what the others have written since for the work of an earlier process. */
const firstLooks = new WeakMap<LedgerLog, Promise<ReadonlyMap<string, LedgerPlace>>>();

/**
 * Notes where a log ends, to hold ledgers against it later: call it before anything is appended, where that may happen before the first
 * {@link ledgerSink} of the log is made. Without it that first sink looks, and what was appended to an older log until then hides that it is older.
 */
export async function noteLogEnds(log: LedgerLog): Promise<void> {
  await firstLook(log);
}

/** The places of a group. The first of a log looks at once. */
export function ledgerPlaces(log: LedgerLog, group: string): LedgerPlaces {
  const first = firstLook(log);
  return {
    now: async (stream, partition) => (await placesOf(log, { group, stream })).get(keyOf(group, stream, partition)),
    atFirst: async (stream, partition) => (await first).get(keyOf(group, stream, partition)),
    onDisk: () => log.flushed(),
  };
}

function firstLook(log: LedgerLog): Promise<ReadonlyMap<string, LedgerPlace>> {
  let first = firstLooks.get(log);
  if (first === undefined) {
    // A log that cannot say yet is asked at the take-over.
    first = placesOf(log, {}).catch(() => new Map());
    firstLooks.set(log, first);
  }
  return first;
}

async function placesOf(
  log: LedgerLog,
  filter: { readonly group?: string; readonly stream?: string },
): Promise<Map<string, LedgerPlace>> {
  const [groups, streams] = await Promise.all([log.groups(filter), log.streams()]);
  const ends = new Map(streams.map(({ stream, partition, nextOffset }) => [keyOf('', stream, partition), nextOffset]));
  return new Map(
    groups.map(({ group, stream, partition, epoch, cursor }) => [
      keyOf(group, stream, partition),
      { epoch, cursor, end: ends.get(keyOf('', stream, partition)) ?? 0 },
    ]),
  );
}

function keyOf(group: string, stream: string, partition: number): string {
  return JSON.stringify([group, stream, partition]);
}
