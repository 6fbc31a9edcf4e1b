/** Appending to a stream in memory: partition, window of ids, record. */

import { type MemoryStream, nextOffset } from './memory-store.js';
import { partitionOf } from './partitions.js';
import type { Appended, NewEvent, Position } from './record.js';

/** Appends events that were checked before. */
export function memoryAppend(known: MemoryStream, stream: string, events: readonly NewEvent[], now: number): Appended[] {
  // Those without a key stay together.
  const turn = known.turns++ % known.partitions.length;
  return events.map((event) => appendOne(known, stream, event, turn, now));
}

function appendOne(known: MemoryStream, stream: string, event: NewEvent, turn: number, now: number): Appended {
  const { id, tenant, time, receivedAt, payload, key = null, trace = null, redrive = null } = event;
  const index = key === null ? turn : partitionOf(key, known.partitions.length);
  const partition = known.partitions[index]!;
  const here: Position = { partition: index, offset: nextOffset(partition) };
  const original = event.generated === true && redrive === null ? undefined : claimId(known, event, here, now);
  if (original !== undefined) return { ...original, duplicate: true };
  const record = { stream, ...here, id, tenant, key, time, receivedAt, trace, redrive, payload };
  const bytes = payload.length + id.length + tenant.length + (key?.length ?? 0) + headerBytes;
  // Ascending, whatever the wall clock does: times are searched in.
  partition.lastAt = Math.max(partition.lastAt, now);
  partition.records.push({ record, at: partition.lastAt, bytes });
  partition.bytes += bytes;
  return { ...here, duplicate: false };
}

function claimId(known: MemoryStream, event: NewEvent, here: Position, now: number): Position | undefined {
  let ids = known.ids.get(event.tenant);
  if (ids === undefined) {
    ids = { next: 0, byId: new Map() };
    known.ids.set(event.tenant, ids);
  }
  const { maxItems, maxAgeMs } = known.settings.ids;
  const id = event.redrive == null ? `i${event.id}` : `r${JSON.stringify([event.id, event.redrive.id])}`;
  const entry = ids.byId.get(id);
  if (entry !== undefined && now - entry.at < maxAgeMs && ids.next - entry.number <= maxItems) {
    return { partition: entry.partition, offset: entry.offset };
  }
  // A Map keeps the order of insertion: its first key is the oldest.
  ids.byId.delete(id);
  ids.byId.set(id, { ...here, at: now, number: ids.next++ });
  if (ids.byId.size > maxItems) ids.byId.delete(ids.byId.keys().next().value!);
  return undefined;
}

/** What a record costs beside its texts and its payload. */
const headerBytes = 14;
