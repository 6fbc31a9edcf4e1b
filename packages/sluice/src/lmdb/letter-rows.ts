/**
 * Dead letters in bytes, by (stream, partition, offset, group): `length of the head u32 · head, as JSON · record`. The record is stored as in
 * a chunk, byte for byte: the letter outlives its chunk.
 */

import type { DeadLetter } from '../log/dead-letter.js';
import { deadLetterId } from '../log/dead-letter.js';
import type { LetterTotals } from '../log/letter-bounds.js';
import { readCount } from './keys.js';
import { decodeRecord, encodeEvents } from './records.js';
import type { Trees } from './store.js';

/** What of a letter is not in its record. */
type LetterHead = Omit<DeadLetter, 'id' | 'record'> & {
  readonly stream: string;
  readonly partition: number;
  readonly offset: number;
};

type StoredHead = Omit<LetterHead, 'firstParkedAt'> & { readonly firstParkedAt?: number };

/** A letter as it is stored. */
export function encodeLetter({ id: _, record, ...why }: DeadLetter): Buffer {
  const { stream, partition, offset } = record;
  const head: LetterHead = { ...why, stream, partition, offset };
  const headBytes = Buffer.from(JSON.stringify(head));
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(headBytes.length, 0);
  return Buffer.concat([length, headBytes, encodeEvents([record]).bytes]);
}

/** Reads what {@link encodeLetter} wrote. */
export function decodeLetter(stored: Uint8Array): DeadLetter {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const recordAt = 4 + bytes.readUInt32BE(0);
  const { stream, partition, offset, ...why } = JSON.parse(bytes.toString('utf8', 4, recordAt)) as StoredHead;
  return {
    id: deadLetterId(why.group, stream, partition, offset),
    record: decodeRecord(bytes, recordAt, stream, partition, offset),
    ...why,
    // Letters were stored without it once, and kept their first time in the other.
    firstParkedAt: why.firstParkedAt ?? why.parkedAt,
  };
}

const totalsKey = Buffer.from('letters');

/** Number of letters of all groups, and their bytes. */
export function readTotals(trees: Trees): LetterTotals {
  const row = trees.meta.getBinary(totalsKey);
  return row === undefined ? { items: 0, bytes: 0 } : { items: readCount(row), bytes: row.readUIntBE(6, 6) };
}

/** `letters u48 · bytes u48`; within a write transaction. */
export function writeTotals(trees: Trees, { items, bytes }: LetterTotals): void {
  const row = Buffer.allocUnsafe(12);
  row.writeUIntBE(items, 0, 6);
  row.writeUIntBE(bytes, 6, 6);
  trees.meta.put(totalsKey, row);
}
