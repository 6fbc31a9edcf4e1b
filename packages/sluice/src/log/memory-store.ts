/** What a log in memory keeps: streams, ids, groups and letters. It stays when the log goes, as a disk does when a process dies. */

import type { DeadLetter } from './dead-letter.js';
import { expiredBelow, type GroupState, newGroup } from './group-state.js';
import type { OffsetRange, StartAt } from './position.js';
import type { LogRecord, Position } from './record.js';
import { removalEnd } from './retention.js';
import type { StreamSettings } from './stream-options.js';

/** Where a log in memory keeps everything that would be on disk. Give the same one to a second log to play a restart. */
export interface MemoryStore {
  /** The {@link Log.id}. */
  readonly id: string;
  readonly streams: Map<string, MemoryStream>;
  readonly letters: Map<string, DeadLetter>;
  /** The last epoch that was given. */
  epoch: number;
}

/** An empty store. */
export function memoryStore(): MemoryStore {
  return { id: crypto.randomUUID(), streams: new Map(), letters: new Map(), epoch: 0 };
}

/** One stream. */
export interface MemoryStream {
  settings: StreamSettings;
  readonly partitions: readonly MemoryPartition[];
  /** By tenant. */
  readonly ids: Map<string, MemoryIds>;
  /** By name, by partition. */
  readonly groups: Map<string, MemoryGroup[]>;
  /** Appends without keys that have come: they take turns. */
  turns: number;
}

/** The ids of one tenant, in the order in which they came. */
export interface MemoryIds {
  next: number;
  readonly byId: Map<string, Position & { readonly at: number; readonly number: number }>;
}

/** One partition. */
export interface MemoryPartition {
  firstOffset: number;
  bytes: number;
  /** Ascending: when the youngest record came. */
  lastAt: number;
  readonly records: StoredRecord[];
}

/** A record, and what only the log knows of it. */
export interface StoredRecord {
  readonly record: LogRecord;
  readonly at: number;
  readonly bytes: number;
}

/** A group in one partition, with what is marked as in flight. */
export interface MemoryGroup {
  state: GroupState;
  marks: readonly OffsetRange[];
}

/** An empty stream. */
export function newStream(settings: StreamSettings): MemoryStream {
  const partitions = Array.from({ length: settings.partitions }, () => ({ firstOffset: 0, bytes: 0, lastAt: 0, records: [] }));
  return { settings, partitions, ids: new Map(), groups: new Map(), turns: 0 };
}

/** The offset that the next record gets. */
export function nextOffset({ firstOffset, records }: MemoryPartition): number {
  return firstOffset + records.length;
}

/** The offset that a start means. */
export function resolveStart(partition: MemoryPartition, from: StartAt): number {
  const end = nextOffset(partition);
  if (from === 'start') return partition.firstOffset;
  if (from === 'end') return end;
  if ('offset' in from) return Math.min(end, Math.max(partition.firstOffset, from.offset));
  const index = partition.records.findIndex(({ at }) => at >= from.time);
  return index < 0 ? end : partition.firstOffset + index;
}

/** The groups of a stream by that name, made at `from` when there are none. */
export function groupIn(known: MemoryStream, group: string, from: StartAt): MemoryGroup[] {
  let groups = known.groups.get(group);
  if (groups === undefined) {
    groups = known.partitions.map((partition) => ({ state: newGroup(resolveStart(partition, from)), marks: [] }));
    known.groups.set(group, groups);
  }
  return groups;
}

/** Removes what retention allows. `expired` is told how many records a group loses. */
export function retainPartition(
  { settings, partitions, groups }: MemoryStream,
  index: number,
  now: number,
  expired: (group: string, items: number) => void,
): { readonly records: number; readonly bytes: number } {
  const partition = partitions[index]!;
  const cursors = [...groups.values()].map((group) => group[index]!.state.position.cursor);
  const { end, bytes } = removalEnd(
    {
      settings: settings.retention,
      leastCursor: cursors.length === 0 ? undefined : Math.min(...cursors),
      nextOffset: nextOffset(partition),
      bytes: partition.bytes,
    },
    piecesOf(partition),
    partition.firstOffset,
    now,
  );
  const records = end - partition.firstOffset;
  if (records === 0) return { records, bytes };
  partition.records.splice(0, records);
  partition.firstOffset = end;
  partition.bytes -= bytes;
  for (const [name, group] of groups) {
    const before = group[index]!.state;
    const state = expiredBelow(before, end);
    group[index]!.state = state;
    if (state.expired > before.expired) expired(name, state.expired - before.expired);
  }
  return { records, bytes };
}

function* piecesOf({ firstOffset, records }: MemoryPartition) {
  for (let i = 0; i < records.length; i++) yield { end: firstOffset + i + 1, bytes: records[i]!.bytes, at: records[i]!.at };
}
