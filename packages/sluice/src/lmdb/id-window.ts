/**
 * The window of ids: the last `items` ids of each (stream, tenant) that are younger than `ageMs`, in the store.
 *
 * Ids live in *generations*. A generation takes ids until it holds a whole window, by count or by age; then the next begins. What an id
 * must be compared with is therefore in the present generation or in the one before, and all older ones are garbage: neighbours in the
 * tree, removed a few with each append. Each id carries its number and time, so that both bounds are exact to one item and one millisecond.
 */

import { createHash } from 'node:crypto';
import type { Position } from '../log/log.js';
import type { Tree } from './store.js';

/** Bounds of the window, for each stream and tenant. */
export interface IdWindowBounds {
  readonly items: number;
  readonly ageMs: number;
}

/** The windows that one append group touches, within its transaction. */
export interface IdWindows {
  /** Where the event with this id lies, or undefined after noting that it lies at `here`. */
  claim(tenant: string, id: string, here: Position): Position | undefined;
  /** Writes the scopes back and removes some garbage. Call it last. */
  end(): void;
}

/** The windows of one stream; valid within one write transaction. */
export function idWindows(scopes: Tree, ids: Tree, stream: number, nextScope: () => number, bounds: IdWindowBounds, now: number): IdWindows {
  const touched = new Map<string, Scope>();
  return {
    claim(tenant, id, here) {
      let scope = touched.get(tenant);
      if (scope === undefined) {
        scope = loadScope(scopes, scopeKey(stream, tenant), nextScope, now);
        touched.set(tenant, scope);
      }
      const known = find(ids, scope, id, bounds, now);
      if (known === undefined) insert(ids, scope, id, here, bounds, now);
      return known;
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
    return { key, number: nextScope(), generation: 0, oldest: 0, generationFirst: 0, generationAt: now, next: 0, inserted: 0, changed: true };
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

function find(ids: Tree, scope: Scope, id: string, bounds: IdWindowBounds, now: number): Position | undefined {
  const key = idKey(scope.number, scope.generation, id);
  const row = ids.getBinaryFast(key) ?? findBefore(ids, scope, key);
  if (row === undefined) return undefined;
  const number = row.readUIntBE(0, 6);
  const at = row.readUIntBE(6, 6);
  if (scope.next - number > bounds.items || now - at >= bounds.ageMs) return undefined;
  return { partition: row.readUInt16BE(12), offset: row.readUIntBE(14, 6) };
}

/** In the generation before the present one. Once that is removed, or when there never was one, this costs nothing. */
function findBefore(ids: Tree, scope: Scope, key: Buffer): Buffer | undefined {
  if (scope.generation === 0 || scope.oldest >= scope.generation) return undefined;
  key.writeUInt32BE(scope.generation - 1, 4);
  return ids.getBinaryFast(key);
}

function insert(ids: Tree, scope: Scope, id: string, here: Position, bounds: IdWindowBounds, now: number): void {
  if (scope.next - scope.generationFirst >= bounds.items || now - scope.generationAt >= bounds.ageMs) {
    scope.generation++;
    scope.generationFirst = scope.next;
    scope.generationAt = now;
  }
  rowBuffer.writeUIntBE(scope.next, 0, 6);
  rowBuffer.writeUIntBE(now, 6, 6);
  rowBuffer.writeUInt16BE(here.partition, 12);
  rowBuffer.writeUIntBE(here.offset, 14, 6);
  ids.put(idKey(scope.number, scope.generation, id), rowBuffer);
  scope.next++;
  scope.inserted++;
  scope.changed = true;
}

/** Twice what came in, so that garbage cannot grow; with a floor, so that a trickle clears it too. */
function removeGarbage(ids: Tree, scope: Scope): void {
  const last = scope.generation - 1;
  if (scope.oldest >= last) return;
  const limit = 2 * scope.inserted + 16;
  const garbage = [...ids.getKeys({ start: generationPrefix(scope.number, scope.oldest), end: generationPrefix(scope.number, last), limit })];
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
 * `scope u32 · generation u32 · 0 · id`, or for ids of more than 64 bytes `… · 1 · SHA-256 of the id`: within LMDB's limit of a key, and ids that
 * grow with time (UUIDv7, counters) stay neighbours, which makes them three times as fast as random ones.
 */
function idKey(scope: number, generation: number, id: string): Buffer {
  let end = 9;
  if (id.length <= longestRawId && (id.length * 3 <= longestRawId || Buffer.byteLength(id) <= longestRawId)) {
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
