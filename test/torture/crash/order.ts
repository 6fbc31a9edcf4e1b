/** The order of a key: in the log it is that in which one writer has sent, and a sink is given it as it lies in the log. */

import { isRefused } from './consume.js';
import { keyOf, partsOf } from './event.js';
import { isSettled, type Standing } from './reports.js';

/** Who has sent which event. */
export interface Writers {
  /** A writer is about to send the events of a life from one number up to below another. */
  sends(life: number, from: number, below: number, writer: number): void;
  /** Compares the order of a partition with that of each writer. What is sent again by a redrive has no place in it. */
  compare(place: string, records: Iterable<readonly [offset: number, id: string, redrive: string | null]>): string[];
}

/** Nobody has sent anything yet. */
export function createWriters(): Writers {
  const writers: number[][] = [];
  return {
    sends(life, from, below, writer) {
      const its = writers[life] ?? [];
      writers[life] = its;
      for (let n = from; n < below; n++) its[n] = writer;
    },
    compare(place, records) {
      const problems: string[] = [];
      const last = new Map<string, number>();
      for (const [offset, id, redrive] of records) {
        if (redrive !== null) continue;
        const { life, n } = partsOf(id);
        const line = `${life}/${writers[life]?.[n]}/${keyOf(id)}`;
        const before = last.get(line) ?? -1;
        if (before > n)
          problems.push(`${place}/${offset} is ${id}, behind ${life}.${before} of the same key, which was sent after it`);
        last.set(line, Math.max(n, before));
      }
      return problems;
    },
  };
}

/** What a consumer's sink has taken since the program was started: by key, ascending. */
export type Taken = Map<string, { readonly last: number; readonly offsets: Set<number> }>;

/** The sink takes a record: behind all that it has taken of this key. Gives what that breaks. */
export function takeInOrder(group: string, taken: Taken, offset: number, id: string): string | undefined {
  const key = keyOf(id);
  const before = taken.get(key) ?? { last: -1, offsets: new Set<number>() };
  taken.set(key, { last: Math.max(offset, before.last), offsets: before.offsets.add(offset) });
  return before.last < offset ? undefined : `${group} was given ${id} at ${offset} after ${before.last}, which has the same key`;
}

/** What is known where a sink has taken records. */
export interface Line {
  readonly group: string;
  /** Where the group stood when the program was started. */
  readonly from: Standing;
  /** Offset to name. */
  readonly promised: ReadonlyMap<number, string>;
  /** Retention may have removed what lies below, before the group had it. */
  readonly first: number;
  /** Whether a record was for others: the redrive of their letter. */
  isOfAnotherGroup(name: string): boolean;
}

/** What was passed over: records that were owed to the sink before a later one of their key, and were not given to it. */
export function passedOver(taken: Taken, { group, from, promised, first, isOfAnotherGroup }: Line): string[] {
  const problems: string[] = [];
  for (const [offset, name] of promised) {
    if (offset < first || isSettled(from, offset) || isOfAnotherGroup(name)) continue;
    const [id, redrive] = name.split(' of ') as [string, string | undefined];
    const its = taken.get(keyOf(id));
    if (its === undefined || its.last < offset || its.offsets.has(offset)) continue;
    if (isRefused(group.split(' ')[0]!, { id, redrive: redrive ?? null })) continue;
    problems.push(`${group} was given ${its.last} and not ${id} at ${offset}, which has the same key`);
  }
  return problems;
}
