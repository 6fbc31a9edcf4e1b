/**
 * The window of ids: the last `maxItems` ids of each (stream, tenant) that are younger than `maxAgeMs`, in the store.
 *
 * Each id that comes in gets the next number of its scope, and a row of the store gets it behind the others: appending costs far less than an
 * entry of its own in the middle of a tree, which random ids would need. An index in memory says which numbers an id may have; the row says
 * whether it has, and how old it is, so that both bounds are exact to one item and one millisecond.
 */

import { randomBytes } from 'node:crypto';
import type { Position } from '../log/record.js';
import type { StreamSettings } from '../log/stream-options.js';
import { createIdIndexes, type IdIndex, type IdIndexes } from './id-index.js';
import {
  entryBytes,
  type IdRow,
  idRowAt,
  idRowKey,
  idRowsFrom,
  isSameDigest,
  maxRowIds,
  readIdRowKey,
  readPlace,
  writeDigest,
  writePlace,
} from './id-rows.js';
import { nextNumber } from './names.js';
import type { Trees } from './store.js';

/** Bounds of the window, for each stream and tenant. */
export type IdWindowBounds = StreamSettings['ids'];

/** The windows that one append group touches in one stream, within its transaction. */
export interface IdWindows {
  /** Where the event with this id lies, or undefined after noting that it lies at `here`. */
  claim(tenant: string, id: string, here: Position): Position | undefined;
  /** Writes what was noted and removes some garbage. Call it last. */
  end(): void;
}

/** The windows of a store. */
export interface IdStore {
  /** The windows of one stream; valid within one write transaction. */
  windows(stream: number, bounds: IdWindowBounds, now: number): IdWindows;
}

/** Memory of the indexes together: windows of a million ids for three scopes at least. */
const maxIndexBytes = 96 << 20;

// Rows that were read to confirm a duplicate: the next one is often beside it. Kept for one transaction: it may have read rows of another one
// of the same commit, and when that fails, other ids get their numbers.
const cachedRows = 8;

/** The windows over the trees of a store. */
export function createIdStore(trees: Trees): IdStore {
  const indexes = createIdIndexes(maxIndexBytes);
  const secret = randomBytes(8);
  const [first, second] = [secret.readInt32LE(0), secret.readInt32LE(4)];
  /** Mixed with a secret, so that nobody can choose ids that crowd one place of an index. */
  const hashAt = (bytes: Buffer, at: number) => {
    const hash = Math.imul(bytes.readInt32LE(at) ^ first, 0x9e3779b1) ^ Math.imul(bytes.readInt32LE(at + 4) ^ second, 0x85ebca6b);
    return hash ^ (hash >>> 15);
  };

  return {
    windows(stream, bounds, now) {
      const touched = new Map<string, Scope>();
      const rows: IdRow[] = [];
      return {
        claim(tenant, id, here) {
          let scope = touched.get(tenant);
          if (scope === undefined) {
            scope = openScope(trees, indexes, hashAt, stream, tenant, bounds);
            touched.set(tenant, scope);
          }
          return claimIn(scope, id, here);
        },
        end() {
          for (const scope of touched.values()) endScope(trees, scope, bounds, now);
        },
      };

      function claimIn(scope: Scope, id: string, here: Position): Position | undefined {
        const at = (scope.next - scope.base) * entryBytes;
        if (at === scope.added.length) scope.added = Buffer.concat([scope.added], at * 2);
        const { added } = scope;
        writeDigest(added, at, id);
        const hash = hashAt(added, at);
        const original = scope.index.find(hash, (number) => placeOf(scope, number, at));
        if (original !== undefined) return original;
        writePlace(added, at, here);
        scope.index.add(hash, scope.next++);
        return undefined;
      }

      /** Where the event of a number lies, when its digest is the one at `at` and it is in the window. */
      function placeOf(scope: Scope, number: number, at: number): Position | undefined {
        if (number >= scope.next || scope.next - number > bounds.maxItems) return undefined;
        if (number >= scope.base) return placeIn(scope.added, (number - scope.base) * entryBytes, scope.added, at);
        const row = rowWith(scope.number, number);
        if (row === undefined || now - row.at >= bounds.maxAgeMs) return undefined;
        return placeIn(row.entries, (number - row.base) * entryBytes, scope.added, at);
      }

      function rowWith(scope: number, number: number): IdRow | undefined {
        const known = rows.find((row) => row.scope === scope && holdsNumber(row, number));
        if (known !== undefined) return known;
        const row = idRowAt(trees, scope, number);
        if (row === undefined || !holdsNumber(row, number)) return undefined;
        if (rows.length === cachedRows) rows.shift();
        rows.push(row);
        return row;
      }
    },
  };
}

function holdsNumber({ base, entries }: IdRow, number: number): boolean {
  return base <= number && number < base + entries.length / entryBytes;
}

function placeIn(entries: Buffer, entryAt: number, added: Buffer, at: number): Position | undefined {
  return isSameDigest(entries, entryAt, added, at) ? readPlace(entries, entryAt) : undefined;
}

/** The ids of one tenant of a stream. */
interface Scope {
  readonly key: Buffer;
  readonly number: number;
  readonly index: IdIndex;
  /** Number of the first id that this transaction adds, and that the next one gets. */
  readonly base: number;
  next: number;
  /** Entries from `base` on. */
  added: Buffer;
  readonly isNew: boolean;
}

function openScope(
  trees: Trees,
  indexes: IdIndexes,
  hashAt: (bytes: Buffer, at: number) => number,
  stream: number,
  tenant: string,
  bounds: IdWindowBounds,
): Scope {
  const prefix = Buffer.allocUnsafe(4);
  prefix.writeUInt32BE(stream, 0);
  const key = Buffer.concat([prefix, Buffer.from(tenant)]);
  const row = trees.scopes.getBinary(key);
  const number = row === undefined ? nextNumber(trees, 'next scope') : row.readUInt32BE(0);
  const next = row === undefined ? 0 : row.readUIntBE(4, 6);
  const index = indexes.get(number, bounds.maxItems, next, (filled) => {
    // Old ones too: their row says that they are, and without gaps the index knows where it stands.
    for (const { base, entries } of idRowsFrom(trees, number, filled.next)) {
      for (let i = Math.max(0, filled.next - base); i * entryBytes < entries.length; i++) {
        filled.add(hashAt(entries, i * entryBytes), base + i);
      }
    }
  });
  return { key, number, index, base: next, next, added: Buffer.allocUnsafe(64 * entryBytes), isNew: row === undefined };
}

/** `scope number u32 · next id u48`. */
function endScope(trees: Trees, scope: Scope, bounds: IdWindowBounds, now: number): void {
  const { number, base, next, added } = scope;
  if (next === base && !scope.isNew) return;
  const row = Buffer.allocUnsafe(10);
  row.writeUInt32BE(number, 0);
  row.writeUIntBE(next, 4, 6);
  trees.scopes.put(scope.key, row);
  let rows = 0;
  for (let from = base; from < next; from += maxRowIds) {
    const to = Math.min(next, from + maxRowIds);
    trees.ids.put(idRowKey(number, from, now), added.subarray((from - base) * entryBytes, (to - base) * entryBytes));
    rows++;
  }
  removeGarbage(trees, scope, rows, bounds, now);
}

/** The oldest rows, when no id in them is in the window: a few more than came in, so that garbage cannot grow. */
function removeGarbage(trees: Trees, { number, next }: Scope, added: number, bounds: IdWindowBounds, now: number): void {
  const limit = 2 * added + 2;
  const range = { start: idRowKey(number, 0, 0), end: idRowKey(number + 1, 0, 0), limit: limit + 1 };
  const keys = [...trees.ids.getKeys(range)].map((key) => Buffer.from(key));
  for (let i = 0; i + 1 < keys.length; i++) {
    const isOld = now - readIdRowKey(keys[i]!).at >= bounds.maxAgeMs;
    if (!isOld && readIdRowKey(keys[i + 1]!).base > next - bounds.maxItems) return;
    trees.ids.remove(keys[i]!);
  }
}
