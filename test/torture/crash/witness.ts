/** Witness: what the log has promised over many lives of a program, compared with what it says after each restart. */

import { compareGroup, type Group } from './compare-group.js';
import { isGenerated, isPoison, partsOf, streamOf } from './event.js';
import { createWriters, takeInOrder } from './order.js';
import { type Found, isSettled, type Place, type Report } from './reports.js';

/** Remembers promises and compares. */
export interface Witness {
  readonly counts: WitnessCounts;
  /** The next life begins. Gives the ids of the one before that a client would append again: acknowledged or not. */
  begin(life: number): readonly string[];
  /** Takes a report of the life that runs. Gives what it breaks at once, or undefined. */
  hear(report: Report): string | undefined;
  /** Compares what a start has found with all that was promised. */
  compare(found: readonly Found[]): readonly string[];
}

/** What was seen in all. */
export interface WitnessCounts {
  appended: number;
  duplicates: number;
  /** Merely offered, and flushed. */
  flushed: number;
  delivered: number;
  settled: number;
  redriven: number;
  purged: number;
  /** Records that retention took before a group had settled them, as the log counts them. */
  lost: number;
}

interface Partition {
  /** Offset to name: acknowledged, or found after a restart. */
  readonly promised: Map<number, string>;
  first: number;
}

type Ends = ReadonlyMap<string, { readonly first: number; readonly next: number }>;
type Complain = (what: string) => void;

/** A witness who knows nothing yet. */
export function createWitness(): Witness {
  const offered: number[] = [];
  const partitions = new Map<string, Partition>();
  const groups = new Map<string, Group>();
  const writers = createWriters();
  const counts: WitnessCounts = {
    ...{ appended: 0, duplicates: 0, flushed: 0, delivered: 0, settled: 0, redriven: 0, purged: 0, lost: 0 },
  };
  /** Letters found at the last restart, by id; those that may be gone; those whose redrive is in the log. */
  let letters = new Map<string, Found & { is: 'letter' }>();
  const mayBeGone = new Set<string>();
  const redriven = new Set<string>();
  /** Of the life before: where its last events with ids of their own are. Appended again they are duplicates of these. */
  let originals = new Map<string, string>();
  const acknowledged = new Map<string, string>();
  /** Since the last restart that was compared: offered and flushed, and given to a sink. */
  const flushed = new Set<string>();
  const given = new Set<string>();
  let life = 0;

  return {
    counts,
    begin(number) {
      const before = Array.from({ length: offered[life] ?? 0 }, (_, n) => `${life}.${n}`).filter((id) => !isGenerated(id));
      const known = before.filter((id) => acknowledged.has(id)).slice(-20);
      const unknown = before.filter((id) => !acknowledged.has(id)).slice(-40);
      originals = new Map(known.map((id) => [id, acknowledged.get(id)!]));
      acknowledged.clear();
      life = number;
      offered[life] = 0;
      return [...known, ...unknown];
    },
    hear(report) {
      switch (report.is) {
        case 'offered':
          writers.sends(life, offered[life]!, report.below, report.writer);
          offered[life] = report.below;
          return undefined;
        case 'flushed':
          for (const id of report.ids) flushed.add(id);
          counts.flushed += report.ids.length;
          return undefined;
        case 'appended':
          return appended(report);
        case 'delivered':
          return delivered(report);
        case 'settled':
          counts.settled++;
          groupOf(report).settled = report;
          return undefined;
        case 'purging':
          return purging(report.letters);
        case 'problem':
          return report.what;
        default:
          return undefined;
      }
    },
    compare(found) {
      const problems: string[] = [];
      const complain: Complain = (what) => void problems.push(what);
      const ends: Ends = new Map(found.filter((row) => row.is === 'stream').map((row) => [placeOf(row), row]));
      const names = new Map<string, string>();
      for (const row of found) if (row.is === 'records') compareRecords(row, ends, names, complain);
      for (const [place, partition] of partitions) compareEnds(place, partition, ends.get(place), complain);
      compareFlushed(names, complain);
      compareLetters(found, complain);
      compareGroups(found, ends, complain);
      forgetRemoved();
      return problems;
    },
  };

  function partitionOf(place: Place): Partition {
    const name = placeOf(place);
    const known = partitions.get(name) ?? { promised: new Map(), first: 0 };
    partitions.set(name, known);
    return known;
  }

  function groupOf(of: Place & { readonly group: string }): Group {
    const name = groupName(of);
    const nothing = { cursor: 0, above: [] };
    const known = groups.get(name) ?? {
      ...{ name, settled: nothing, found: nothing, neverTaken: 0 },
      ...{ delivered: new Map(), taken: new Map() },
    };
    groups.set(name, known);
    return known;
  }

  function wasOffered(id: string): boolean {
    const { life: of, n } = partsOf(id);
    return n < (offered[of] ?? 0);
  }

  function appended({ stream, events }: Report & { is: 'appended' }): string | undefined {
    for (const { id, partition, offset, duplicate, redrive } of events) {
      const place = `${stream}/${partition}/${offset}`;
      const name = nameOf(id, redrive);
      const { promised } = partitionOf({ stream, partition });
      const known = promised.get(offset);
      if (known !== undefined && known !== name) return `${name} was acknowledged at ${place}, where ${known} is`;
      const original = redrive === undefined ? originals.get(id) : undefined;
      if (original !== undefined && (!duplicate || original !== place))
        return `${id} is durable at ${original}, and was taken once more, at ${place}`;
      promised.set(offset, name);
      if (redrive === undefined) acknowledged.set(id, place);
      else redriven.add(letterOf(redrive));
      counts[duplicate ? 'duplicates' : redrive === undefined ? 'appended' : 'redriven']++;
    }
    return undefined;
  }

  function delivered(report: Report & { is: 'delivered' }): string | undefined {
    const group = groupOf(report);
    for (const [offset, id] of report.records) {
      counts.delivered++;
      if (!wasOffered(id)) return `${group.name} was given ${id}, which was never offered`;
      if (isSettled(group.settled, offset) || isSettled(group.found, offset))
        return `${group.name} was given ${id} at ${offset} again, which it had settled`;
      group.delivered.set(offset, id);
      given.add(id);
      const disorder = report.inOrder ? takeInOrder(group.name, group.taken, offset, id) : undefined;
      if (disorder !== undefined) return disorder;
    }
    return undefined;
  }

  function purging(ids: readonly string[]): string | undefined {
    for (const id of ids) {
      if (!redriven.has(id)) return `the letter ${id} is marked as sent again, and was not`;
      mayBeGone.add(id);
    }
    return undefined;
  }

  function compareRecords(row: Found & { is: 'records' }, ends: Ends, names: Map<string, string>, complain: Complain): void {
    const place = placeOf(row);
    const { promised } = partitionOf(row);
    const end = ends.get(place);
    let expected = end?.first ?? 0;
    for (const [offset, id, whole, redrive] of row.records) {
      const name = nameOf(id, redrive ?? undefined);
      if (offset !== expected) complain(`${place} goes on at ${offset} where ${expected} was due`);
      expected = offset + 1;
      if (!wasOffered(id) || streamOf(id) !== row.stream) complain(`${place}/${offset} is ${id}, which was never offered there`);
      if (!whole) complain(`${place}/${offset}: ${name} has other bytes`);
      const known = promised.get(offset);
      if (known !== undefined && known !== name) complain(`${place}/${offset} is ${name} and was ${known}`);
      if (names.has(name)) complain(`${name} is stored twice: ${names.get(name)} and ${place}/${offset}`);
      names.set(name, `${place}/${offset}`);
      promised.set(offset, name);
      if (redrive !== null) redriven.add(letterOf(redrive));
    }
    const order = row.records.map(([offset, id, , redrive]) => [offset, id, redrive] as const);
    for (const problem of writers.compare(place, order)) complain(problem);
    if (expected !== end?.next) complain(`${place} can be read up to ${expected}, and says that it ends at ${end?.next}`);
  }

  /** Offers have no receipt: the id is found again, or a sink had it before it was removed. */
  function compareFlushed(names: ReadonlyMap<string, string>, complain: Complain): void {
    for (const id of flushed) if (!names.has(id) && !given.has(id)) complain(`${id} was offered and flushed, and is gone`);
    flushed.clear();
    given.clear();
  }

  function compareEnds(
    place: string,
    partition: Partition,
    end: { readonly first: number; readonly next: number } | undefined,
    complain: Complain,
  ): void {
    const { promised } = partition;
    if (end === undefined) {
      if (promised.size > 0) complain(`${place} is gone, and ${promised.size} durable events with it`);
      return;
    }
    if (end.first < partition.first) complain(`${place} begins at ${end.first} and began at ${partition.first}`);
    partition.first = end.first;
    for (const [offset, name] of promised) {
      if (offset >= end.next) complain(`${name} was durable at ${place}/${offset}, and the log ends at ${end.next}`);
    }
  }

  /** What retention has removed, once the groups were compared with it. */
  function forgetRemoved(): void {
    for (const { promised, first } of partitions.values()) {
      for (const offset of promised.keys()) if (offset < first) promised.delete(offset);
    }
  }

  function compareLetters(found: readonly Found[], complain: Complain): void {
    const before = letters;
    letters = new Map(found.filter((row) => row.is === 'letter').map((row) => [row.letter, row]));
    for (const { letter, id, offset, whole, redriven: sent, ...place } of letters.values()) {
      if (!isPoison(id)) complain(`${id} is parked as ${letter}, and nothing was wrong with it`);
      if (!whole) complain(`the letter ${letter} has other bytes than ${id}`);
      if (sent && !redriven.has(letter)) complain(`the letter ${letter} is marked as sent again, and was not`);
      const known = partitionOf(place).promised.get(offset);
      if (known !== undefined && known !== id) complain(`the letter ${letter} is of ${id}, where ${known} is`);
    }
    for (const letter of before.keys())
      if (!letters.has(letter) && !mayBeGone.has(letter)) complain(`the letter ${letter} is gone`);
    const counted = found.find((row) => row.is === 'letters')?.count;
    if (counted !== letters.size) complain(`the log counts ${counted} dead letters and has ${letters.size}`);
  }

  function compareGroups(found: readonly Found[], ends: Ends, complain: Complain): void {
    const seen = new Set<string>();
    counts.lost = 0;
    for (const row of found) {
      if (row.is !== 'group') continue;
      const group = groupOf(row);
      seen.add(group.name);
      counts.lost += row.lost;
      const isParked = (offset: number) => {
        const letter = `${row.group}/${row.stream}/${row.partition}/${offset}`;
        return letters.has(letter) || mayBeGone.has(letter);
      };
      compareGroup(group, row, { end: ends.get(placeOf(row)), promised: partitionOf(row).promised, isParked }, complain);
    }
    for (const { name, settled } of groups.values()) {
      if (!seen.has(name) && settled.cursor > 0) complain(`${name} is gone; it had settled all below ${settled.cursor}`);
    }
    for (const letter of mayBeGone) {
      if (letters.has(letter)) continue;
      // Gone for good: nothing asks for it again once the cursor has passed it.
      if (!isPassed(letter)) continue;
      mayBeGone.delete(letter);
      redriven.delete(letter);
      counts.purged++;
    }
  }

  function isPassed(letter: string): boolean {
    const [group, stream, partition, offset] = letter.split('/');
    const known = groups.get(groupName({ group: group!, stream: stream!, partition: Number(partition) }));
    return known !== undefined && Number(offset) < known.found.cursor;
  }
}

function placeOf({ stream, partition }: Place): string {
  return `${stream}/${partition}`;
}

function groupName({ group, stream, partition }: Place & { readonly group: string }): string {
  return `${group} on ${stream}/${partition}`;
}

/** The letter that a redrive sends: its id holds the name, how often it was sent, and when it was parked. */
function letterOf(redrive: string): string {
  return redrive.replace(/^\d+:(.*)@\d+#\d+$/, '$1');
}

/** The same event sent again is another one. */
function nameOf(id: string, redrive: string | undefined): string {
  return redrive === undefined ? id : `${id} of ${redrive}`;
}
