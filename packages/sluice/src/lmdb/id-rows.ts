/**
 * Rows of ids: appended in the order of their numbers, some hundred a row, never changed. Under `scope u32 · base number u48 · time u48`:
 * per id, the first 127 bits of its SHA-256 and a bit that tells redrives · partition u16 · offset u48.
 */

import * as crypto from 'node:crypto';
import type { Position } from '../log/record.js';
import type { Trees } from './store.js';

/** Bytes of one id in a row. */
export const entryBytes = 24;
const digestBytes = 16;

// Large enough that a tree entry costs little, small enough to be read for one id.
export const maxRowIds = 512;

/** What the text to claim for a redrive begins with: no id holds a lone surrogate. */
export const redriveMark = '\ud800';

/**
 * Writes the digest of an id at `at`. SHA-256, because two ids with one digest would be one event: nobody may be able to make such a pair.
 */
export function writeDigest(bytes: Buffer, at: number, id: string): void {
  const isRedrive = id.charCodeAt(0) === 0xd800;
  bytes.write(digestOf(isRedrive ? id.slice(1) : id), at, digestBytes, 'latin1');
  const last = at + digestBytes - 1;
  bytes[last] = isRedrive ? bytes[last]! | 1 : bytes[last]! & 0xfe;
}

/** Writes where the event of the id at `at` lies. */
export function writePlace(bytes: Buffer, at: number, { partition, offset }: Position): void {
  bytes.writeUInt16BE(partition, at + digestBytes);
  bytes.writeUIntBE(offset, at + digestBytes + 2, 6);
}

/** Reads what {@link writePlace} wrote. */
export function readPlace(bytes: Buffer, at: number): Position {
  return { partition: bytes.readUInt16BE(at + digestBytes), offset: bytes.readUIntBE(at + digestBytes + 2, 6) };
}

/** Whether two entries have one digest. */
export function isSameDigest(a: Buffer, aAt: number, b: Buffer, bAt: number): boolean {
  return a.compare(b, bAt, bAt + digestBytes, aAt, aAt + digestBytes) === 0;
}

/** A row of ids in the store. */
export interface IdRow {
  readonly scope: number;
  /** Number of its first id. */
  readonly base: number;
  /** When its ids came, in epoch milliseconds. */
  readonly at: number;
  readonly entries: Buffer;
}

/** The key of a row. */
export function idRowKey(scope: number, base: number, at: number): Buffer {
  const key = Buffer.allocUnsafe(16);
  key.writeUInt32BE(scope, 0);
  key.writeUIntBE(base, 4, 6);
  key.writeUIntBE(at, 10, 6);
  return key;
}

/** What {@link idRowKey} wrote, but for the scope. */
export function readIdRowKey(key: Buffer): Pick<IdRow, 'base' | 'at'> {
  return { base: key.readUIntBE(4, 6), at: key.readUIntBE(10, 6) };
}

/** The rows of a scope from the one that holds a number on. */
export function* idRowsFrom(trees: Trees, scope: number, number: number): Iterable<IdRow> {
  const first = idRowKeyAt(trees, scope, number);
  const start = first ?? idRowKey(scope, 0, 0);
  for (const { key, value } of trees.ids.getRange({ start, end: idRowKey(scope + 1, 0, 0), snapshot: false })) {
    yield { scope, ...readIdRowKey(key), entries: value };
  }
}

/** The row that holds a number. */
export function idRowAt(trees: Trees, scope: number, number: number): IdRow | undefined {
  const key = idRowKeyAt(trees, scope, number);
  const entries = key === undefined ? undefined : trees.ids.getBinary(key);
  return key === undefined || entries === undefined ? undefined : { scope, ...readIdRowKey(key), entries };
}

function idRowKeyAt(trees: Trees, scope: number, number: number): Buffer | undefined {
  const start = Buffer.alloc(17, 0xff);
  idRowKey(scope, number, 0).copy(start, 0, 0, 10);
  for (const key of trees.ids.getKeys({ start, end: idRowKey(scope, 0, 0), inclusiveEnd: true, reverse: true, limit: 1 }))
    return Buffer.from(key);
  return undefined;
}

/** `crypto.hash` is three to eight times as fast as `createHash`, most of all when it answers a string. */
function digestOf(id: string): string {
  return crypto.hash('sha256', id, 'latin1' as 'binary');
}
