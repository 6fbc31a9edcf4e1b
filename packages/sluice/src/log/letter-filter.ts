/** Dead letters without a store: which ones a filter means, what they have in common, and what of them is stored. */

import { SluiceError } from '../core/errors.js';
import {
  type DeadLetter,
  type DeadLetterFilter,
  type DeadLetterGroup,
  deadLetterId,
  maxMessageChars,
  maxTries,
  type NewDeadLetter,
  type SentLetter,
} from './dead-letter.js';

/** Whether a letter meets all conditions of a filter. */
export function matchesFilter(letter: DeadLetter, filter: DeadLetterFilter): boolean {
  const { ids, group, stream, partition, tenant, code, class: failureClass, state, parkedFrom, parkedBefore } = filter;
  return (
    (group === undefined || letter.group === group) &&
    (stream === undefined || letter.record.stream === stream) &&
    (partition === undefined || letter.record.partition === partition) &&
    (tenant === undefined || letter.record.tenant === tenant) &&
    (code === undefined || letter.code === code) &&
    (failureClass === undefined || letter.class === failureClass) &&
    (state === undefined || letter.state === state) &&
    (parkedFrom === undefined || letter.parkedAt >= parkedFrom) &&
    (parkedBefore === undefined || letter.parkedAt < parkedBefore) &&
    (ids === undefined || ids.includes(letter.id))
  );
}

/** A letter as it is stored: bounded, and with a state of its own. What is parked again keeps its first times and how often it was redriven. */
export function storedLetter(group: string, letter: NewDeadLetter, now: number, before: DeadLetter | undefined): DeadLetter {
  const { record, code, class: failureClass, attempts, timeouts, crashes, firstFailedAt, lastFailedAt } = letter;
  const tries =
    letter.tries.length <= maxTries
      ? letter.tries
      : [...letter.tries.slice(0, firstTries), ...letter.tries.slice(firstTries - maxTries)];
  return {
    id: deadLetterId(group, record.stream, record.partition, record.offset),
    group,
    record,
    code,
    class: failureClass,
    message: cut(letter.message),
    attempts,
    timeouts,
    crashes,
    tries: tries.map((each) => ({ at: each.at, class: each.class, code: each.code, message: cut(each.message) })),
    firstFailedAt: Math.min(firstFailedAt, before?.firstFailedAt ?? firstFailedAt),
    lastFailedAt,
    firstParkedAt: before?.firstParkedAt ?? now,
    // Not the first time: what has just been parked must not be removed for the age of what lay there before.
    parkedAt: now,
    state: 'parked',
    redrives: before?.redrives ?? 0,
    redrivenAt: before?.redrivenAt ?? null,
  };
}

/** A letter as it is stored once it was sent again; undefined where it is not the one that was sent. */
export function redrivenLetter(letter: DeadLetter, sent: SentLetter, at: number): DeadLetter | undefined {
  if (letter.parkedAt !== sent.parkedAt || letter.redrives !== sent.redrives) return undefined;
  return { ...letter, state: 'redriven', redrives: letter.redrives + 1, redrivenAt: at };
}

/** Counts letters by what they failed with. */
export interface LetterCounts {
  add(letter: DeadLetter, bytes: number): void;
  /** The most frequent first. */
  result(): DeadLetterGroup[];
}

/** Empty counts. Beyond a thousand groups, messages are counted together. */
export function letterCounts(): LetterCounts {
  const groups = new Map<string, { -readonly [K in keyof DeadLetterGroup]: DeadLetterGroup[K] }>();
  return {
    add({ group, record: { stream }, code, class: failureClass, message, firstParkedAt, parkedAt, id }, bytes) {
      const named = messagePattern(message);
      const keyOf = (pattern: string) => JSON.stringify([group, stream, code, failureClass, pattern]);
      const pattern = groups.size < maxGroups || groups.has(keyOf(named)) ? named : otherPattern;
      const known = groups.get(keyOf(pattern));
      if (known === undefined) {
        const times = { firstParkedAt, lastParkedAt: parkedAt };
        groups.set(keyOf(pattern), {
          group,
          stream,
          code,
          class: failureClass,
          pattern,
          items: 1,
          bytes,
          ...times,
          sampleId: id,
        });
        return;
      }
      known.items++;
      known.bytes += bytes;
      known.firstParkedAt = Math.min(known.firstParkedAt, firstParkedAt);
      known.lastParkedAt = Math.max(known.lastParkedAt, parkedAt);
    },
    result: () => [...groups.values()].sort((a, b) => b.items - a.items),
  };
}

/** What messages of one cause have in common: UUIDs, quoted texts and numbers are taken out. At most 200 units. */
export function messagePattern(message: string): string {
  return message
    .slice(0, maxMessageChars)
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '<uuid>')
    .replace(/"[^"]*"|'[^']*'/g, '<text>')
    .replace(/\d+(\.\d+)?/g, '<n>')
    .slice(0, 200);
}

/**
 * Checks the size of a page.
 *
 * @throws SluiceError `INVALID_VALUE`
 */
export function pageLimit(limit = 100): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= 10_000) return limit;
  throw new SluiceError(`limit must be a whole number from 1 to 10,000; got ${String(limit)}`, {
    code: 'INVALID_VALUE',
    class: 'rejected',
  });
}

const firstTries = 5;
const maxGroups = 1_000;
const otherPattern = '(other messages)';

function cut(message: string): string {
  return message.length <= maxMessageChars ? message : `${message.slice(0, maxMessageChars - 1)}…`;
}
