/** straight: COPY right into the target in spite of a conflict rule, as long as no key exists: where it may be tried, and when. */

import { alteredMark, guard, keyOn, type Table, type TableColumn } from './catalogue.js';
import { classifyPostgresError, isServerError } from './classify.js';
import type { ConflictRule } from './options.js';

/** The statements of a batch that goes straight. */
export interface Straight {
  readonly copyText: string;
  readonly copyBinary: string;
  /** Fails where COPY was not the same as ON CONFLICT DO NOTHING. Belongs behind the COPY, whose lock keeps the table as it is. */
  readonly guard: string;
}

/**
 * The guard of a COPY into the target whose rows are the same as those of ON CONFLICT DO NOTHING unless a key exists, and then fails;
 * nothing where the two may differ otherwise.
 *
 * COPY passes rules by, and fires triggers in another order, and once more where a key exists; a text that the stage holds is cast,
 * which for a user's type may be another function than the one that reads it.
 */
export function straightGuardFor(
  table: Table,
  columns: readonly TableColumn[],
  conflict: ConflictRule | undefined,
): string | undefined {
  if (conflict?.action !== 'ignore' || !table.copyable || !table.isPlain) return undefined;
  const key = keyOn(table, conflict.columns);
  // A user's type that is written as text is an enum: a cast reads it by the same function.
  if (key === undefined || columns.some(({ isForeign, type }) => isForeign && type.kind !== 'text')) return undefined;
  // Without the index the table would take a key twice, and a snapshot from before the COPY may show an index that is gone.
  const hasIndex = `EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = ${key.index} AND i.indisvalid AND i.indisunique AND i.indimmediate)`;
  const seesAll = `current_setting('transaction_isolation') LIKE 'read %'`;
  return guard([seesAll, oldSnapshotMark], [`${hasIndex} AND ${table.unaltered}`, alteredMark]);
}

/** What the guard's error speaks of where a snapshot lasts for a transaction. */
const oldSnapshotMark = 'sluice.snapshot_may_be_old';

/** What a failure of a batch that went straight says. */
export type StraightFailure =
  /** A row is bad, whatever is in the table: it is taken out as ever. */
  | 'badRow'
  /** Only the usual way tells. */
  | 'usualWay'
  /** The same, and the table is not as it was planned for. */
  | 'stale'
  /** The server, the connection, or what was added to the transaction: nothing that the usual way could mend. */
  | 'other';

/** What an error of the server, for a batch that went straight, says. */
export function straightFailure(thrown: unknown): StraightFailure {
  if (!isServerError(thrown)) return 'other';
  const { code, class: failureClass, message } = classifyPostgresError(thrown);
  if (failureClass === 'permanent') return isOfRowAlone(thrown, code) ? 'badRow' : 'usualWay';
  // Rows that go straight lock their keys in the order of arrival, others in that of the keys.
  if (code === 'PG_40P01' || message.includes(oldSnapshotMark)) return 'usualWay';
  return /^PG_(42|0A)/.test(code) ? 'stale' : 'other';
}

/**
 * Whether the row would be refused also where its key exists. A value that cannot be read, a null and a check come before the look for
 * the key; indexes come after it, and functions of theirs can fail in any way, but not as COPY and the executor do by themselves.
 */
function isOfRowAlone(thrown: unknown, code: string): boolean {
  const { where } = thrown as { readonly where?: unknown };
  if (typeof where !== 'string' || !where.startsWith('COPY ')) return false;
  return code === 'PG_23502' || code === 'PG_23514' || /^COPY [^\n]*, line \d+, column /.test(where);
}

/** Whether the next batch is expected to hold new keys only, by what became of those before it. */
export interface Expectation {
  /** The next batch is worth going straight. */
  readonly isNew: boolean;
  /** Batches that went straight, and those that had to go once more. */
  readonly counts: { readonly straight: number; readonly repeated: number };
  /** A batch went straight. */
  wereNew(): void;
  /** A batch had to go the usual way after all. */
  wereNot(): void;
  /** A batch went the usual way, and all of its rows were taken, or not. */
  merged(allNew: boolean): void;
}

/** Batches in a row that must have been all new, at most, before one goes straight again. */
const mostWaits = 64;

/**
 * After a batch that had to go twice, others must go the usual way without meeting a key that exists: one, and each time that was not
 * enough, twice as many, up to {@link mostWaits}. One batch straight saves what one that goes twice costs, so that no sequence is much
 * dearer than the usual way alone.
 */
export function newKeysExpected(): Expectation {
  const counts = { straight: 0, repeated: 0 };
  let waits = 0;
  let needed = 0;
  return {
    get isNew() {
      return waits === 0;
    },
    counts,
    wereNew() {
      counts.straight++;
      // One that was under way while another failed tells of the time before.
      if (waits === 0) needed = 0;
    },
    wereNot() {
      counts.repeated++;
      if (waits === 0) needed = Math.min(mostWaits, needed * 2 || 1);
      waits = needed;
    },
    merged(allNew) {
      waits = allNew ? Math.max(0, waits - 1) : needed;
    },
  };
}
