/** A consumer group after a restart, compared with what it was told and what its sink took. */

import { passedOver, type Taken } from './order.js';
import type { Found, Range, Standing } from './reports.js';

/** What is known of a group in one partition. */
export interface Group {
  readonly name: string;
  /** What the log has said is settled. */
  settled: Standing;
  /** What the last restart found. */
  found: Standing;
  /** What the sink has taken, offset to id, and the last restart did not find below the cursor. */
  readonly delivered: Map<number, string>;
  /** The same since the program was started, where a consumer promises the order of each key. */
  readonly taken: Taken;
  /** Settled records that no sink took and that are not parked either: lost to retention, or lost. */
  neverTaken: number;
}

/** What is found of the partition. */
export interface Surroundings {
  readonly end: { readonly first: number; readonly next: number } | undefined;
  readonly promised: ReadonlyMap<number, string>;
  isParked(offset: number): boolean;
}

/** Compares, and takes what was found as the new standing. */
export function compareGroup(
  group: Group,
  row: Found & { is: 'group' },
  { end, promised, isParked }: Surroundings,
  complain: (what: string) => void,
): void {
  const { name, found, settled, delivered } = group;
  const next = end?.next ?? 0;
  // What expires may go before the group has had it; elsewhere all that was promised is owed.
  const first = row.lost > 0 ? (end?.first ?? 0) : 0;
  const line = {
    group: name,
    from: found,
    promised,
    first,
    isOfAnotherGroup: (record: string) => isOfAnotherGroup(name, record),
  };
  for (const problem of passedOver(group.taken, line)) complain(problem);
  group.taken.clear();
  if (end !== undefined && row.cursor < end.first)
    complain(`${name} stands at ${row.cursor}, and the log begins at ${end.first}`);
  const last = row.above.at(-1)?.[1] ?? row.cursor - 1;
  if (last >= next) complain(`${name} has settled ${last}, and the log ends at ${next}`);
  for (const offset of newlySettled(found, row)) {
    if (delivered.has(offset) || isParked(offset) || isOfAnotherGroup(name, promised.get(offset))) continue;
    group.neverTaken++;
    if (group.neverTaken > row.lost) complain(`${name} has settled ${offset}, which its sink never took`);
  }
  for (const offset of newlySettled(row, settled)) complain(`${name} had settled ${offset}, and stands at ${row.cursor}`);
  for (const [offset, id] of delivered) {
    const known = promised.get(offset)?.split(' ')[0];
    if (known !== undefined && known !== id) complain(`${name} was given ${id} at ${offset}, where ${known} is`);
    if (offset >= next) complain(`${name} was given ${id} at ${offset}, and the log ends at ${next}`);
    if (offset < row.cursor) delivered.delete(offset);
  }
  group.found = row;
  group.settled = row;
}

/** A record that is sent again is for the group whose letter it was; the others pass it over. */
function isOfAnotherGroup(group: string, record: string | undefined): boolean {
  const redrive = record?.split(' of ')[1];
  return redrive !== undefined && !redrive.includes(`:${group.split(' ')[0]}/`);
}

/** What is settled in `now` and is not in `before`. */
function* newlySettled(before: Standing, now: Standing): Generator<number> {
  for (const [first, last] of [[0, now.cursor - 1] as Range, ...now.above]) {
    for (let offset = Math.max(first, before.cursor); offset <= last; offset++) {
      if (!before.above.some(([from, to]) => offset >= from && offset <= to)) yield offset;
    }
  }
}
