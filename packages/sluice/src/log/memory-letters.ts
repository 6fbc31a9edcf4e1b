/** The dead letters of a log in memory. */

import type { Env } from '../env/env.js';
import { type DeadLetter, type DeadLetterFilter, type DeadLetters, deadLetterId, type NewDeadLetter } from './dead-letter.js';
import type { LetterGuard, LetterTotals } from './letter-bounds.js';
import { letterCounts, matchesFilter, pageLimit, redrivenLetter, storedLetter } from './letter-filter.js';
import type { OffsetRange, Ownership } from './position.js';
import { holds } from './ranges.js';

/** The letters, with what only the log may do. */
export interface MemoryLetters extends DeadLetters {
  /**
   * Parks letters and removes those that were delivered, or changes nothing.
   *
   * @throws SluiceError `DEAD_LETTERS_FULL`
   */
  move(owner: Ownership, dead: readonly NewDeadLetter[], delivered: readonly OffsetRange[]): void;
  /** Removes letters beyond their age. */
  expire(now: number): number;
}

/** The letters in a map that is kept elsewhere. */
export function memoryLetters(letters: Map<string, DeadLetter>, env: Env, guard: LetterGuard): MemoryLetters {
  let bytes = 0;
  for (const letter of letters.values()) bytes += bytesOf(letter);

  const totals = (): LetterTotals => ({ items: letters.size, bytes });
  const put = (letter: DeadLetter) => {
    remove(letter.id);
    letters.set(letter.id, letter);
    bytes += bytesOf(letter);
  };
  const remove = (id: string): boolean => {
    const known = letters.get(id);
    if (known !== undefined) bytes -= bytesOf(known);
    return letters.delete(id);
  };
  const matching = (filter: DeadLetterFilter) => {
    const named = filter.ids === undefined ? letters.values() : [...new Set(filter.ids)].flatMap((id) => letters.get(id) ?? []);
    return [...named].filter((letter) => matchesFilter(letter, filter)).sort(byPlace);
  };

  return {
    get items() {
      return letters.size;
    },
    get bytes() {
      return bytes;
    },
    async page({ filter = {}, after, limit } = {}) {
      const most = pageLimit(limit);
      const all = matching(filter);
      const from = after === undefined ? 0 : all.findIndex((letter) => letter.id === after) + 1;
      const page = all.slice(from, from + most);
      return { letters: page, ...(from + most < all.length ? { next: page.at(-1)!.id } : {}) };
    },
    async groups(filter = {}) {
      const counts = letterCounts();
      for (const letter of matching(filter)) counts.add(letter, bytesOf(letter));
      return counts.result();
    },
    get: async (id) => letters.get(id),
    async markRedriven(sent, at) {
      let marked = 0;
      for (const each of sent) {
        const letter = letters.get(each.id);
        const redriven = letter && redrivenLetter(letter, each, at);
        if (redriven === undefined) continue;
        put(redriven);
        marked++;
      }
      return marked;
    },
    async purge(filter, limit) {
      const doomed = matching(filter).slice(0, pageLimit(limit ?? 10_000));
      for (const { id } of doomed) remove(id);
      guard.changed(totals());
      return doomed.length;
    },
    move({ group, stream, partition }, dead, delivered) {
      const now = env.clock.wall();
      const gone =
        letters.size === 0 || delivered.length === 0
          ? []
          : [...letters.values()].filter(
              ({ group: of, record }) =>
                of === group && record.stream === stream && record.partition === partition && holds(delivered, record.offset),
            );
      const parked = new Map(
        dead.map((letter) => {
          const id = deadLetterId(group, stream, partition, letter.record.offset);
          return [id, storedLetter(group, letter, now, letters.get(id))];
        }),
      );
      const before = totals();
      const after = { ...before };
      for (const letter of parked.values()) {
        const replaced = letters.get(letter.id);
        if (replaced === undefined) after.items++;
        after.bytes += bytesOf(letter) - (replaced === undefined ? 0 : bytesOf(replaced));
      }
      for (const letter of gone) {
        after.items--;
        after.bytes -= bytesOf(letter);
      }
      guard.admit(before, after);
      for (const letter of gone) remove(letter.id);
      for (const letter of parked.values()) put(letter);
      guard.changed(totals());
    },
    expire(now) {
      const old = [...letters.values()].filter((letter) => now - letter.parkedAt >= guard.maxAgeMs);
      for (const { id } of old) remove(id);
      if (old.length > 0) env.observe({ type: 'lettersExpired', items: old.length });
      guard.changed(totals());
      return old.length;
    },
  };
}

function bytesOf({ id, record, message, tries }: DeadLetter): number {
  return id.length + record.payload.length + message.length + tries.reduce((sum, each) => sum + each.message.length, 0);
}

function byPlace(a: DeadLetter, b: DeadLetter): number {
  return (
    compare(a.record.stream, b.record.stream) ||
    a.record.partition - b.record.partition ||
    a.record.offset - b.record.offset ||
    compare(a.group, b.group)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
