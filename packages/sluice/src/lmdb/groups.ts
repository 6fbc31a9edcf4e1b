/** Consumer groups in the store: each act is one transaction. */

import type { Clock, Env } from '../env/env.js';
import {
  checkMarks,
  checkPosition,
  checkRanges,
  claimed,
  type GroupState,
  groupInfo,
  moved,
  newGroup,
  ownedBy,
  released,
  skipped,
  sought,
} from '../log/group-state.js';
import type { LetterGuard } from '../log/letter-bounds.js';
import { checkName, checkPartition } from '../log/limits.js';
import type { Log } from '../log/log.js';
import type { GroupInfo, Lag, Ownership, StartAt } from '../log/position.js';
import { countOf, unsettledIn } from '../log/ranges.js';
import type { StreamSettings } from '../log/stream-options.js';
import { moveLetters } from './dead-letters.js';
import { readGroupRow, writeGroupRow } from './group-rows.js';
import type { InFlightMarks } from './in-flight.js';
import { afterPrefix, groupKey, partitionKey, readPartitionKey } from './keys.js';
import { ensureStream, nextNumber, type StreamRow, streamRow, streamRows } from './names.js';
import { offsetAt, type Reads, rowOf } from './reads.js';
import { type Removed, retainPartition } from './retention.js';
import type { Store, Trees } from './store.js';

/** The part of the contract that is about groups. */
export type Groups = Pick<
  Log,
  'createGroup' | 'deleteGroup' | 'groups' | 'position' | 'lag' | 'claim' | 'inFlight' | 'settle' | 'skip' | 'release' | 'seek'
>;

/** What groups need beside the store. */
export interface GroupParts {
  readonly env: Env;
  readonly reads: Reads;
  readonly marks: InFlightMarks;
  readonly guard: LetterGuard;
  readonly defaults: StreamSettings;
  /** Told what a settlement has let go. */
  removed(stream: string, partition: number, removed: Removed): void;
  lettersMoved(): void;
}

/** The groups over a store. */
export function createGroups(store: Store, parts: GroupParts): Groups {
  const { trees } = store;
  const { env, reads, marks, guard, defaults } = parts;
  const now = () => Math.floor(env.clock.wall());

  return {
    async createGroup(group, stream, from = 'start') {
      checkName('group', group);
      checkName('stream', stream);
      return store.write(() => makeGroup(trees, group, ensureStream(trees, stream, defaults), from));
    },
    async deleteGroup(group, stream) {
      const row = streamRow(trees, stream);
      if (row === undefined) return false;
      const deleted = await store.write(() => removeGroup(trees, group, row));
      for (let partition = 0; partition < row.settings.partitions; partition++) marks.clear(group, stream, partition);
      return deleted;
    },
    groups: async (filter = {}) => listGroups(trees, filter),
    position: async (group, stream, partition) => readState(trees, group, streamRow(trees, stream), partition)?.position,
    async lag(group, stream) {
      const row = streamRow(trees, stream);
      if (row === undefined) return [];
      return Array.from({ length: row.settings.partitions }, (_, partition) => {
        const state = readState(trees, group, row, partition);
        return state === undefined ? undefined : lagOf(trees, reads, env.clock, stream, row, partition, state);
      }).filter((lag) => lag !== undefined);
    },
    async claim(group, stream, partition) {
      checkName('group', group);
      checkName('stream', stream);
      const state = await store.write(() => {
        const row = ensureStream(trees, stream, defaults);
        checkPartition(stream, partition, row.settings.partitions);
        makeGroup(trees, group, row, 'start');
        const before = readState(trees, group, row, partition)!;
        const inFlight = before.owned ? marks.read(group, stream, partition, before.epoch) : [];
        const next = claimed(before, nextNumber(trees, 'next epoch'), inFlight, now());
        return writeState(trees, group, row, partition, next);
      });
      const { epoch, position, suspects, uncleanStarts } = state;
      return { group, stream, partition, epoch, position, suspects, uncleanStarts };
    },
    async inFlight(owner, ranges) {
      checkMarks(ranges);
      ownedBy(owner, readState(trees, owner.group, streamRow(trees, owner.stream), owner.partition));
      await marks.write(owner, ranges);
    },
    async settle(owner, { position, delivered = [], dead = [] }) {
      const { group, stream, partition } = owner;
      const { letters, gone } = await store.write(() => {
        const { row, state } = owned(owner);
        const { nextOffset } = rowOf(trees, row.number, partition);
        if (position !== undefined) checkPosition(position, nextOffset);
        checkRanges(delivered, nextOffset);
        const letters = moveLetters(trees, guard, { group, number: row.number, partition }, dead, delivered, now());
        if (position === undefined) return { letters, gone: undefined };
        writeState(trees, group, row, partition, moved(state, position));
        return { letters, gone: retainPartition(trees, row, partition, now()) };
      });
      if (letters) parts.lettersMoved();
      if (gone !== undefined) parts.removed(stream, partition, gone);
    },
    async skip(owner, range) {
      const { group, stream, partition } = owner;
      const { position, gone } = await store.write(() => {
        const { row, state } = owned(owner);
        checkRanges([range], rowOf(trees, row.number, partition).nextOffset);
        const next = writeState(trees, group, row, partition, skipped(state, range));
        return { position: next.position, gone: retainPartition(trees, row, partition, now()) };
      });
      parts.removed(stream, partition, gone);
      return position;
    },
    async release(owner) {
      const { group, stream, partition } = owner;
      const isReleased = await store.write(() => {
        const row = streamRow(trees, stream);
        const state = readState(trees, group, row, partition);
        if (row === undefined || state?.owned !== true || state.epoch !== owner.epoch) return false;
        writeState(trees, group, row, partition, released(state));
        return true;
      });
      if (isReleased) marks.clear(group, stream, partition);
    },
    async seek(group, stream, partition, to) {
      checkName('group', group);
      checkName('stream', stream);
      const next = await store.write(() => {
        const row = ensureStream(trees, stream, defaults);
        checkPartition(stream, partition, row.settings.partitions);
        makeGroup(trees, group, row, 'start');
        const before = readState(trees, group, row, partition)!;
        const cursor = resolveStart(trees, row, partition, to);
        return writeState(trees, group, row, partition, sought(before, nextNumber(trees, 'next epoch'), cursor));
      });
      marks.clear(group, stream, partition);
      return next.position;
    },
  };

  function owned(owner: Ownership): { row: StreamRow; state: GroupState } {
    const row = streamRow(trees, owner.stream);
    const state = ownedBy(owner, readState(trees, owner.group, row, owner.partition));
    return { row: row!, state };
  }
}

function readState(trees: Trees, group: string, row: StreamRow | undefined, partition: number): GroupState | undefined {
  const bytes = row === undefined ? undefined : trees.groups.getBinary(groupKey(row.number, partition, group));
  return bytes === undefined ? undefined : readGroupRow(bytes);
}

function writeState(trees: Trees, group: string, row: StreamRow, partition: number, state: GroupState): GroupState {
  trees.groups.put(groupKey(row.number, partition, group), writeGroupRow(state));
  return state;
}

function makeGroup(trees: Trees, group: string, row: StreamRow, from: StartAt): boolean {
  if (readState(trees, group, row, 0) !== undefined) return false;
  for (let partition = 0; partition < row.settings.partitions; partition++) {
    writeState(trees, group, row, partition, newGroup(resolveStart(trees, row, partition, from)));
  }
  return true;
}

function removeGroup(trees: Trees, group: string, row: StreamRow): boolean {
  const known = readState(trees, group, row, 0) !== undefined;
  for (let partition = 0; known && partition < row.settings.partitions; partition++) {
    trees.groups.remove(groupKey(row.number, partition, group));
  }
  return known;
}

function resolveStart(trees: Trees, { number }: StreamRow, partition: number, from: StartAt): number {
  const { firstOffset, nextOffset } = rowOf(trees, number, partition);
  if (from === 'start') return firstOffset;
  if (from === 'end') return nextOffset;
  if ('offset' in from) return Math.min(nextOffset, Math.max(firstOffset, from.offset));
  return offsetAt(trees, number, partition, from.time);
}

function listGroups(trees: Trees, filter: { readonly group?: string; readonly stream?: string }): GroupInfo[] {
  const infos: GroupInfo[] = [];
  for (const { stream, number } of streamRows(trees)) {
    if (filter.stream !== undefined && filter.stream !== stream) continue;
    const prefix = partitionKey(number, 0).subarray(0, 4);
    for (const { key, value } of trees.groups.getRange({ start: prefix, end: afterPrefix(prefix) })) {
      const group = key.toString('utf8', 6);
      if (filter.group !== undefined && filter.group !== group) continue;
      infos.push(groupInfo(group, stream, readPartitionKey(key).partition, readGroupRow(value)));
    }
  }
  return infos;
}

function lagOf(
  trees: Trees,
  reads: Reads,
  clock: Clock,
  stream: string,
  row: StreamRow,
  partition: number,
  { position }: GroupState,
): Lag {
  const { nextOffset, nextPosition } = rowOf(trees, row.number, partition);
  const { cursor, settledAbove } = position;
  const all = nextOffset - cursor;
  const items = all - countOf(settledAbove);
  if (items <= 0) return { partition, items: 0, bytes: 0, oldestMs: 0 };
  const [oldest] = unsettledIn({ first: cursor, last: nextOffset - 1 }, position);
  const bytes = Math.round((nextPosition - reads.positionAt(stream, partition, cursor)) * (items / all));
  const receivedAt = reads.receivedAt(stream, partition, oldest!.first);
  return { partition, items, bytes, oldestMs: Math.max(0, clock.wall() - receivedAt) };
}
