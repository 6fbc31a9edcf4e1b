/** Dead letters in the store: parked and removed within the transaction of a settlement, listed a slice a turn. */

import type { Clock } from '../env/env.js';
import type { DeadLetter, DeadLetterFilter, DeadLetters, NewDeadLetter, SentLetter } from '../log/dead-letter.js';
import { readDeadLetterId } from '../log/dead-letter.js';
import type { LetterGuard, LetterTotals } from '../log/letter-bounds.js';
import { letterCounts, matchesFilter, pageLimit, redrivenLetter, storedLetter } from '../log/letter-filter.js';
import type { OffsetRange } from '../log/position.js';
import { holds } from '../log/ranges.js';
import { afterPrefix, letterKey, partitionKey, readLetterGroup, readOffset } from './keys.js';
import { decodeLetter, encodeLetter, readTotals, writeTotals } from './letter-rows.js';
import { streamNumber } from './names.js';
import type { Store, Trees } from './store.js';

/** The letters of a store, with what only the log may do. */
export interface StoredLetters extends DeadLetters {
  /** After a settlement that has moved letters. */
  changed(): void;
  /** Removes letters beyond their age, durably; answers how many. */
  expire(now: number): Promise<number>;
}

// About 20 ms of reading; then others have their turn.
const sliceRows = 1_000;

/** The letters over a store. */
export function createLetters(store: Store, clock: Clock, guard: LetterGuard): StoredLetters {
  const { trees } = store;
  let totals = readTotals(trees);

  const changed = () => {
    totals = readTotals(trees);
    guard.changed(totals);
  };

  /** Letters that a filter means, from a key on. */
  async function* matching(
    filter: DeadLetterFilter,
    after?: Buffer,
  ): AsyncGenerator<{ letter: DeadLetter; bytes: number; key: Buffer }> {
    if (filter.ids !== undefined) {
      // In the order of the keys, whatever that of the ids is: the next page begins behind the last key of this one.
      const keys = [...new Set(filter.ids)].flatMap((id) => keyOf(trees, id) ?? []).sort(Buffer.compare);
      for (const key of keys) {
        const row = trees.letters.getBinary(key);
        if (row === undefined || (after !== undefined && Buffer.compare(key, after) <= 0)) continue;
        const letter = decodeLetter(row);
        if (matchesFilter(letter, filter)) yield { letter, bytes: row.length, key };
      }
      return;
    }
    const number = filter.stream === undefined ? undefined : streamNumber(trees, filter.stream);
    if (filter.stream !== undefined && number === undefined) return;
    const prefix = number === undefined ? undefined : streamPrefix(number, filter.partition);
    const end = prefix === undefined ? undefined : afterPrefix(prefix);
    let start = after === undefined ? prefix : Buffer.concat([after, zero]);
    for (;;) {
      const keys = [...trees.letters.getKeys({ ...(start && { start }), ...(end && { end }), limit: sliceRows })].map(copy);
      for (const key of keys) {
        if (filter.group !== undefined && readLetterGroup(key) !== filter.group) continue;
        const row = trees.letters.getBinary(key);
        if (row === undefined) continue;
        const letter = decodeLetter(row);
        if (matchesFilter(letter, filter)) yield { letter, bytes: row.length, key };
      }
      if (keys.length < sliceRows) return;
      start = Buffer.concat([keys.at(-1)!, zero]);
      await new Promise<void>((resolve) => clock.afterTurn(resolve));
    }
  }

  async function purge(filter: DeadLetterFilter, limit: number): Promise<number> {
    const doomed: Buffer[] = [];
    for await (const { key } of matching(filter)) if (doomed.push(key) >= limit) break;
    if (doomed.length === 0) return 0;
    const removed = await store.write(() => removeKeys(trees, doomed, filter));
    changed();
    return removed;
  }

  return {
    get items() {
      return totals.items;
    },
    get bytes() {
      return totals.bytes;
    },
    async page({ filter = {}, after, limit } = {}) {
      const most = pageLimit(limit);
      const letters: DeadLetter[] = [];
      for await (const { letter } of matching(filter, after === undefined ? undefined : keyOf(trees, after))) {
        if (letters.length === most) return { letters, next: letters.at(-1)!.id };
        letters.push(letter);
      }
      return { letters };
    },
    async groups(filter = {}) {
      const counts = letterCounts();
      for await (const { letter, bytes } of matching(filter)) counts.add(letter, bytes);
      return counts.result();
    },
    async get(id) {
      const key = keyOf(trees, id);
      const row = key === undefined ? undefined : trees.letters.getBinary(key);
      return row === undefined ? undefined : decodeLetter(row);
    },
    async markRedriven(sent, at) {
      const marked = await store.write(() => markAll(trees, sent, at));
      changed();
      return marked;
    },
    purge: (filter, limit) => purge(filter, pageLimit(limit ?? 10_000)),
    changed,
    async expire(now) {
      if (!Number.isFinite(guard.maxAgeMs)) return 0;
      let removed = 0;
      for (;;) {
        const some = await purge({ parkedBefore: now - guard.maxAgeMs + 1 }, 10_000);
        removed += some;
        if (some < 10_000) return removed;
      }
    },
  };
}

/**
 * Parks letters and removes those that were delivered; within a write transaction.
 *
 * @throws SluiceError `DEAD_LETTERS_FULL`: then the transaction must not go on.
 */
export function moveLetters(
  trees: Trees,
  guard: LetterGuard,
  place: { readonly group: string; readonly number: number; readonly partition: number },
  dead: readonly NewDeadLetter[],
  delivered: readonly OffsetRange[],
  now: number,
): boolean {
  const before = readTotals(trees);
  const { group, number, partition } = place;
  let { items, bytes } = before;
  const doomed = before.items === 0 ? [] : deliveredKeys(trees, group, number, partition, delivered);
  if (doomed.length === 0 && dead.length === 0) return false;
  for (const key of doomed) {
    bytes -= trees.letters.getBinary(key)!.length;
    items--;
    trees.letters.remove(key);
  }
  for (const letter of dead) {
    const key = letterKey(number, partition, letter.record.offset, group);
    const known = trees.letters.getBinary(key);
    const row = encodeLetter(storedLetter(group, letter, now, known === undefined ? undefined : decodeLetter(known)));
    bytes += row.length - (known?.length ?? 0);
    if (known === undefined) items++;
    trees.letters.put(key, row);
  }
  guard.admit(before, { items, bytes });
  writeTotals(trees, { items, bytes });
  return true;
}

function deliveredKeys(
  trees: Trees,
  group: string,
  number: number,
  partition: number,
  delivered: readonly OffsetRange[],
): Buffer[] {
  if (delivered.length === 0) return [];
  const [first, last] = [delivered[0]!.first, delivered.at(-1)!.last];
  const range = { start: letterKey(number, partition, first, ''), end: letterKey(number, partition, last + 1, '') };
  return [...trees.letters.getKeys(range)]
    .filter((key) => holds(delivered, readOffset(key)) && readLetterGroup(key) === group)
    .map(copy);
}

/** What was parked anew since it was found, or marked, may not be meant any more. */
function removeKeys(trees: Trees, keys: readonly Buffer[], { ids: _, ...filter }: DeadLetterFilter): number {
  let { items, bytes }: LetterTotals = readTotals(trees);
  let removed = 0;
  for (const key of keys) {
    const row = trees.letters.getBinary(key);
    if (row === undefined || !matchesFilter(decodeLetter(row), filter)) continue;
    trees.letters.remove(key);
    items--;
    bytes -= row.length;
    removed++;
  }
  writeTotals(trees, { items, bytes });
  return removed;
}

function markAll(trees: Trees, sent: readonly SentLetter[], at: number): number {
  const { items, bytes } = readTotals(trees);
  let grown = 0;
  let marked = 0;
  for (const each of sent) {
    const key = keyOf(trees, each.id);
    const row = key === undefined ? undefined : trees.letters.getBinary(key);
    if (key === undefined || row === undefined) continue;
    const redriven = redrivenLetter(decodeLetter(row), each, at);
    if (redriven === undefined) continue;
    const next = encodeLetter(redriven);
    grown += next.length - row.length;
    trees.letters.put(key, next);
    marked++;
  }
  writeTotals(trees, { items, bytes: bytes + grown });
  return marked;
}

/** The key of a letter by its name; undefined when there can be none. */
function keyOf(trees: Trees, id: string): Buffer | undefined {
  const place = readDeadLetterId(id);
  const number = place === undefined ? undefined : streamNumber(trees, place.stream);
  return place === undefined || number === undefined ? undefined : letterKey(number, place.partition, place.offset, place.group);
}

function streamPrefix(number: number, partition: number | undefined): Buffer {
  return partition === undefined ? partitionKey(number, 0).subarray(0, 4) : partitionKey(number, partition);
}

const zero = Buffer.alloc(1);
const copy = (key: Buffer): Buffer => Buffer.from(key);
