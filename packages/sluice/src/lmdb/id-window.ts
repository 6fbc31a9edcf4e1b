/**
 * The window of ids: the last `items` ids of each (stream, tenant) that are younger than `ageMs`, in the store.
 *
 * Ids live in *generations*. A generation takes ids until it holds a whole window, by count or by age; then the next begins. What an id
 * must be compared with is therefore in the present generation or in the one before, and all older ones are garbage: neighbours in the
 * tree, removed a few with each append. Each id carries its number and time, so that both bounds are exact to one item and one millisecond.
 */

import { createHash } from 'node:crypto';
import type { Position } from '../log/record.js';
import type { StreamSettings } from '../log/stream-options.js';
import type { Tree } from './store.js';

/** Bounds of the window, for each stream and tenant. */
export type IdWindowBounds = StreamSettings['ids'];

/** What the text to claim for a redrive begins with. */
export const redriveMark = '\ud800';

/** The windows that one append group touches, within its transaction. */
export interface IdWindows {
  /** Where the event with this id lies, or undefined after noting that it lies at `here`. */
  claim(tenant: string, id: string, here: Position): Position | undefined;
  /** Writes the scopes back and removes some garbage. Call it last. */
  end(): void;
}

/** The windows of one stream; valid within one write transaction. */
export function idWindows(
  scopes: Tree,
  ids: Tree,
  stream: number,
  nextScope: () => number,
  bounds: IdWindowBounds,
  now: number,
): IdWindows {
  const touched = new Map<string, Scope>();
  return {
    claim(tenant, id, here) {
      let scope = touched.get(tenant);
      if (scope === undefined) {
        scope = loadScope(scopes, scopeKey(stream, tenant), nextScope, now);
        touched.set(tenant, scope);
      }
      return claimIn(ids, scope, id, here, bounds, now);
    },
    end() {
      for (const scope of touched.values()) {
        if (scope.inserted > 0) removeGarbage(ids, scope);
        if (scope.changed) scopes.put(scope.key, writeScope(scope));
      }
    },
  };
}

interface Scope {
  readonly key: Buffer;
  readonly number: number;
  generation: number;
  /** Number of the generation's first id, and when it came. */
  generationFirst: number;
  generationAt: number;
  /** Number that the next id gets. */
  next: number;
  /** Generations below are gone. */
  oldest: number;
  inserted: number;
  changed: boolean;
}

function scopeKey(stream: number, tenant: string): Buffer {
  const number = Buffer.allocUnsafe(4);
  number.writeUInt32BE(stream, 0);
  return Buffer.concat([number, Buffer.from(tenant)]);
}

/** `number u32 · generation u32 · oldest u32 · first id of the generation u48 · its time u48 · next id u48`. */
function loadScope(scopes: Tree, key: Buffer, nextScope: () => number, now: number): Scope {
  const row = scopes.getBinary(key);
  if (row === undefined) {
    return {
      key,
      number: nextScope(),
      generation: 0,
      oldest: 0,
      generationFirst: 0,
      generationAt: now,
      next: 0,
      inserted: 0,
      changed: true,
    };
  }
  return {
    key,
    number: row.readUInt32BE(0),
    generation: row.readUInt32BE(4),
    oldest: row.readUInt32BE(8),
    generationFirst: row.readUIntBE(12, 6),
    generationAt: row.readUIntBE(18, 6),
    next: row.readUIntBE(24, 6),
    inserted: 0,
    changed: false,
  };
}

function writeScope(scope: Scope): Buffer {
  const row = Buffer.allocUnsafe(30);
  row.writeUInt32BE(scope.number, 0);
  row.writeUInt32BE(scope.generation, 4);
  row.writeUInt32BE(scope.oldest, 8);
  row.writeUIntBE(scope.generationFirst, 12, 6);
  row.writeUIntBE(scope.generationAt, 18, 6);
  row.writeUIntBE(scope.next, 24, 6);
  return row;
}

function claimIn(ids: Tree, scope: Scope, id: string, here: Position, bounds: IdWindowBounds, now: number): Position | undefined {
  // Before the look-up: what lies two generations back is out of the window from this moment on.
  if (scope.next - scope.generationFirst >= bounds.maxItems || now - scope.generationAt >= bounds.maxAgeMs) {
    scope.generation++;
    scope.generationFirst = scope.next;
    scope.generationAt = now;
    scope.changed = true;
  }
  const key = idKey(scope.number, scope.generation, id);
  const earlier = placeIn(findBefore(ids, scope, key), scope, bounds, now);
  if (earlier !== undefined) return earlier;
  writeRow(scope.next, now, here);
  // One walk down the tree for a new id: looking it up first would be a second.
  if (!putNew(ids, key, rowBuffer)) {
    const known = placeIn(ids.getBinaryFast(key), scope, bounds, now);
    if (known !== undefined) return known;
    ids.putSync(key, rowBuffer);
  }
  scope.next++;
  scope.inserted++;
  scope.changed = true;
  return undefined;
}

/** False when the key exists: lmdb's declarations leave out that putSync answers. */
function putNew(ids: Tree, key: Buffer, row: Buffer): boolean {
  return (ids as unknown as AnsweringTree).putSync(key, row, { noOverwrite: true });
}

interface AnsweringTree {
  putSync(key: Buffer, row: Buffer, options: { readonly noOverwrite: boolean }): boolean;
}

/** From the generation before the present one. When there is none, or no longer, this costs nothing. */
function findBefore(ids: Tree, scope: Scope, key: Buffer): Buffer | undefined {
  if (scope.generation === 0 || scope.oldest >= scope.generation) return undefined;
  key.writeUInt32BE(scope.generation - 1, 4);
  const row = ids.getBinaryFast(key);
  key.writeUInt32BE(scope.generation, 4);
  return row;
}

/** `number of the id u48 · time u48 · partition u16 · offset u48`. */
function writeRow(number: number, now: number, here: Position): void {
  rowBuffer.writeUIntBE(number, 0, 6);
  rowBuffer.writeUIntBE(now, 6, 6);
  rowBuffer.writeUInt16BE(here.partition, 12);
  rowBuffer.writeUIntBE(here.offset, 14, 6);
}

/** Where a row points to, while it is in the window. */
function placeIn(row: Buffer | undefined, scope: Scope, bounds: IdWindowBounds, now: number): Position | undefined {
  if (row === undefined || scope.next - row.readUIntBE(0, 6) > bounds.maxItems || now - row.readUIntBE(6, 6) >= bounds.maxAgeMs)
    return undefined;
  return { partition: row.readUInt16BE(12), offset: row.readUIntBE(14, 6) };
}

/** Twice what came in, so that garbage cannot grow; with a floor, so that a trickle clears it too. */
function removeGarbage(ids: Tree, scope: Scope): void {
  const last = scope.generation - 1;
  if (scope.oldest >= last) return;
  const limit = 2 * scope.inserted + 16;
  const garbage = [
    ...ids.getKeys({ start: generationPrefix(scope.number, scope.oldest), end: generationPrefix(scope.number, last), limit }),
  ];
  for (const key of garbage) ids.remove(key);
  scope.oldest = garbage.length < limit ? last : garbage.at(-1)!.readUInt32BE(4);
  scope.changed = true;
}

function generationPrefix(scope: number, generation: number): Buffer {
  const prefix = Buffer.allocUnsafe(8);
  prefix.writeUInt32BE(scope, 0);
  prefix.writeUInt32BE(generation, 4);
  return prefix;
}

// The store copies keys and values while it takes them: one buffer of each serves all.
const rowBuffer = Buffer.allocUnsafe(20);
const longestRawId = 64;
const keyBuffer = Buffer.allocUnsafe(9 + longestRawId);

/**
 * `scope u32 · generation u32 · 0 · id`, for ids of more than 64 bytes `… · 1 · SHA-256 of the id`, for redrives `… · 2 · SHA-256`: within LMDB's limit of a key, and ids that
 * grow with time (UUIDv7, counters) stay neighbours, which makes them three times as fast as random ones.
 */
function idKey(scope: number, generation: number, id: string): Buffer {
  let end = 9;
  if (id.startsWith(redriveMark)) {
    keyBuffer[8] = 2;
    end += createHash('sha256').update(id.slice(1)).digest().copy(keyBuffer, 9);
  } else if (id.length <= longestRawId && (id.length * 3 <= longestRawId || Buffer.byteLength(id) <= longestRawId)) {
    keyBuffer[8] = 0;
    end += keyBuffer.write(id, 9, 'utf8');
  } else {
    keyBuffer[8] = 1;
    end += createHash('sha256').update(id).digest().copy(keyBuffer, 9);
  }
  keyBuffer.writeUInt32BE(scope, 0);
  keyBuffer.writeUInt32BE(generation, 4);
  return keyBuffer.subarray(0, end);
}
