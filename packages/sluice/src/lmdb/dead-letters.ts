/**
 * Dead letters in bytes, by (stream, partition, offset, group): `length of the head u32 · head, as JSON · record`. The record is stored as in
 * a chunk, byte for byte: the letter outlives its chunk.
 */

import type { DeadLetter, NewDeadLetter } from '../log/log.js';
import { afterPrefix, letterKey, partitionKey, readCount, readLetterGroup, readOffset, writeCount } from './keys.js';
import { streamNumber } from './names.js';
import { decodeRecord, encodeEvents } from './records.js';
import type { Trees } from './store.js';

/** What of a letter is not in its record. */
type LetterHead = Pick<DeadLetter, 'group' | 'code' | 'class' | 'message' | 'attempts' | 'firstFailedAt' | 'lastFailedAt'> & {
  readonly stream: string;
  readonly partition: number;
  readonly offset: number;
};

/** Public name of a letter. */
export function letterId(group: string, stream: string, partition: number, offset: number): string {
  return `${group}/${stream}/${partition}/${offset}`;
}

/** Parks a record, or replaces its letter; within a write transaction. Answers by how much the count changed. */
export function parkLetter(trees: Trees, group: string, stream: number, letter: NewDeadLetter): number {
  const { partition, offset } = letter.record;
  const key = letterKey(stream, partition, offset, group);
  const known = trees.letters.getBinaryFast(key) !== undefined;
  trees.letters.put(key, encodeLetter(group, letter));
  return known ? 0 : 1;
}

/** Removes the letters of offsets that were delivered after all; within a write transaction. Answers by how much the count changed. */
export function removeLetters(
  trees: Trees,
  group: string,
  stream: number,
  partition: number,
  offsets: ReadonlySet<number>,
): number {
  if (offsets.size === 0 || letterCount(trees) === 0) return 0;
  const start = letterKey(stream, partition, min(offsets), '');
  const end = letterKey(stream, partition, max(offsets) + 1, '');
  const found = [...trees.letters.getKeys({ start, end })].filter(
    (key) => offsets.has(readOffset(key)) && readLetterGroup(key) === group,
  );
  for (const key of found) trees.letters.remove(key);
  return -found.length;
}

/** Number of letters, of all groups. */
export function letterCount(trees: Trees): number {
  return readCount(trees.meta.getBinary(countKey));
}

/** Counts letters that came or went; within a write transaction. */
export function countLetters(trees: Trees, change: number): void {
  if (change !== 0) trees.meta.put(countKey, writeCount(letterCount(trees) + change));
}

/** One letter. */
export function readLetter(
  trees: Trees,
  group: string,
  stream: string,
  partition: number,
  offset: number,
): DeadLetter | undefined {
  const number = streamNumber(trees, stream);
  const bytes = number === undefined ? undefined : trees.letters.getBinary(letterKey(number, partition, offset, group));
  return bytes === undefined ? undefined : decodeLetter(bytes);
}

/** Letters by stream, partition and offset. */
export function readLetters(
  trees: Trees,
  filter: { readonly stream?: string; readonly group?: string; readonly limit?: number },
): DeadLetter[] {
  const limit = filter.limit ?? 100;
  const letters: DeadLetter[] = [];
  const number = filter.stream === undefined ? undefined : streamNumber(trees, filter.stream);
  if (limit <= 0 || (filter.stream !== undefined && number === undefined)) return letters;
  const prefix = number === undefined ? undefined : partitionKey(number, 0).subarray(0, 4);
  const range = prefix === undefined ? {} : { start: prefix, end: afterPrefix(prefix) };
  for (const key of trees.letters.getKeys(range)) {
    if (filter.group !== undefined && readLetterGroup(key) !== filter.group) continue;
    letters.push(decodeLetter(trees.letters.getBinary(key)!));
    if (letters.length >= limit) break;
  }
  return letters;
}

const countKey = Buffer.from('letters');

function encodeLetter(group: string, letter: NewDeadLetter): Buffer {
  const { record, code, class: failureClass, message, attempts, firstFailedAt, lastFailedAt } = letter;
  const { stream, partition, offset } = record;
  const head: LetterHead = {
    group,
    stream,
    partition,
    offset,
    code,
    class: failureClass,
    message,
    attempts,
    firstFailedAt,
    lastFailedAt,
  };
  const headBytes = Buffer.from(JSON.stringify(head));
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(headBytes.length, 0);
  return Buffer.concat([length, headBytes, encodeEvents([record]).bytes]);
}

function decodeLetter(stored: Uint8Array): DeadLetter {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const recordAt = 4 + bytes.readUInt32BE(0);
  const { stream, partition, offset, group, ...why } = JSON.parse(bytes.toString('utf8', 4, recordAt)) as LetterHead;
  return {
    id: letterId(group, stream, partition, offset),
    group,
    record: decodeRecord(bytes, recordAt, stream, partition, offset),
    ...why,
  };
}

function min(offsets: ReadonlySet<number>): number {
  let least = Number.POSITIVE_INFINITY;
  for (const offset of offsets) if (offset < least) least = offset;
  return least;
}

function max(offsets: ReadonlySet<number>): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const offset of offsets) if (offset > most) most = offset;
  return most;
}
