/** The log in memory: the whole contract, for tests and simulation. Nothing outlives the process; 'durable' means in memory. */

import { asFailure, SluiceError } from '../core/errors.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import { checkEvents, checkName } from './limits.js';
import {
  type Appended,
  type DeadLetter,
  type GroupPosition,
  type Log,
  type LogRecord,
  type NewEvent,
  onlyPartition,
  type Position,
} from './log.js';

/** Options of {@link createMemoryLog}. */
export interface MemoryLogOptions {
  /** Default: the system's. */
  readonly env?: Env;
  /** Most events held between two commits, which come at the end of each turn of the event loop. Default 100,000. */
  readonly maxHeldItems?: number;
  /** How many ids are remembered for each stream and tenant. Default 1,000,000. */
  readonly idWindowItems?: number;
  /** How long an id is remembered, in milliseconds of the wall clock. Default 7 days. */
  readonly idWindowMs?: number;
}

/** Makes an empty log in memory. Settled records are freed as the groups move on. */
export function createMemoryLog(options: MemoryLogOptions = {}): Log {
  const env = options.env ?? systemEnv();
  const { maxHeldItems = 100_000, idWindowItems = 1_000_000, idWindowMs = 7 * 24 * 3_600_000 } = options;
  const streams = new Map<string, MemoryStream>();
  const letters = new Map<string, DeadLetter>();
  const listeners = new Map<string, Set<() => void>>();
  let held: HeldAppend[] = [];
  let heldItems = 0;
  let closed = false;

  return {
    offer(stream, events) {
      if (closed) return 'closed';
      return hold(stream, events, () => {}) ? 'accepted' : 'full';
    },
    append(stream, events) {
      return new Promise((resolve) => {
        if (closed) throw new SluiceError('the log is closed', { code: 'CLOSED', class: 'rejected' });
        if (events.length > maxHeldItems) {
          throw new SluiceError(`an append of ${events.length} events, and maxHeldItems is ${maxHeldItems}: split it`, {
            code: 'ITEM_TOO_LARGE',
            class: 'rejected',
          });
        }
        if (!hold(stream, events, resolve)) {
          throw new SluiceError(`the log holds all it may (maxHeldItems ${maxHeldItems}): append again a little later`, {
            code: 'OVERLOADED',
            class: 'rejected',
          });
        }
      });
    },
    async read(stream, partition, from, { maxItems, maxBytes }) {
      const known = partition === onlyPartition ? streams.get(stream) : undefined;
      const records: LogRecord[] = [];
      if (known === undefined) return records;
      let bytes = 0;
      for (
        let i = Math.max(from, known.firstOffset) - known.firstOffset;
        i < known.records.length && records.length < maxItems;
        i++
      ) {
        const record = known.records[i]!;
        bytes += record.payload.length + record.id.length;
        if (bytes > maxBytes && records.length > 0) break;
        records.push(record);
      }
      return records;
    },
    onAppended(stream, fn) {
      const listener = () => fn();
      const known = listeners.get(stream) ?? new Set();
      listeners.set(stream, known.add(listener));
      return () => void known.delete(listener);
    },
    async position(group, stream, _partition) {
      checkName('group', group);
      checkName('stream', stream);
      const { groups, firstOffset } = streamOf(stream);
      const known = groups.get(group) ?? { cursor: firstOffset, settledAbove: [] };
      groups.set(group, known);
      return known;
    },
    async settle(group, stream, partition, position, settlements) {
      checkName('group', group);
      checkName('stream', stream);
      const known = streamOf(stream);
      known.groups.set(group, { cursor: position.cursor, settledAbove: [...position.settledAbove] });
      for (const settlement of settlements) {
        const id = `${group}/${stream}/${partition}/${settlement.offset}`;
        if (settlement.kind === 'ok') letters.delete(id);
        else letters.set(id, { ...settlement.letter, id, group });
      }
      const needed = Math.min(
        ...[...known.groups.values()].map(({ cursor }) => cursor),
        known.firstOffset + known.records.length,
      );
      known.records.splice(0, needed - known.firstOffset);
      known.firstOffset = Math.max(needed, known.firstOffset);
    },
    async flushed() {
      commit();
    },
    async streams() {
      return [...streams].map(([stream, { firstOffset, records }]) => {
        return { stream, partition: onlyPartition, firstOffset, nextOffset: firstOffset + records.length };
      });
    },
    get memoryOnly() {
      return heldItems;
    },
    async deadLetters({ stream, group, limit = 100 }) {
      return [...letters.values()]
        .filter(
          (letter) =>
            (stream === undefined || letter.record.stream === stream) && (group === undefined || letter.group === group),
        )
        .sort((a, b) => a.record.offset - b.record.offset)
        .slice(0, limit);
    },
    deadLetter: async (group, stream, partition, offset) => letters.get(`${group}/${stream}/${partition}/${offset}`),
    deadLetterCount: () => letters.size,
    stopped: new Promise(() => {}),
    async close() {
      closed = true;
      commit();
    },
  };

  function hold(stream: string, events: readonly NewEvent[], done: HeldAppend['done']): boolean {
    checkName('stream', stream);
    checkEvents(events);
    if (heldItems + events.length > maxHeldItems) return false;
    if (held.length === 0) env.clock.afterTurn(commit);
    // The caller may use its buffer again.
    held.push({ stream, events: events.map((event) => ({ ...event, payload: Buffer.from(event.payload) })), done });
    heldItems += events.length;
    return true;
  }

  function commit(): void {
    const group = held;
    held = [];
    heldItems = 0;
    const now = env.clock.wall();
    for (const { stream, events, done } of group) done(events.map((event) => appendTo(streamOf(stream), stream, event, now)));
    for (const stream of new Set(group.map((append) => append.stream))) tellListeners(stream);
  }

  function appendTo(known: MemoryStream, stream: string, event: NewEvent, now: number): Appended {
    const here: Position = { partition: onlyPartition, offset: known.firstOffset + known.records.length };
    const original = event.generated === true ? undefined : claim(known, event, here, now);
    if (original !== undefined) return { ...original, duplicate: true };
    const { id, tenant, time, receivedAt, payload } = event;
    known.records.push({ stream, ...here, id, tenant, time, receivedAt, payload });
    return { ...here, duplicate: false };
  }

  function claim(known: MemoryStream, { tenant, id }: NewEvent, here: Position, now: number): Position | undefined {
    let ids = known.ids.get(tenant);
    if (ids === undefined) {
      ids = new Map();
      known.ids.set(tenant, ids);
    }
    const entry = ids.get(id);
    if (entry !== undefined && now - entry.at < idWindowMs) return { partition: entry.partition, offset: entry.offset };
    // A Map keeps the order of insertion: its first key is the oldest.
    ids.delete(id);
    ids.set(id, { ...here, at: now });
    if (ids.size > idWindowItems) ids.delete(ids.keys().next().value!);
    return undefined;
  }

  function streamOf(stream: string): MemoryStream {
    let known = streams.get(stream);
    if (known === undefined) {
      known = { firstOffset: 0, records: [], ids: new Map(), groups: new Map() };
      streams.set(stream, known);
    }
    return known;
  }

  function tellListeners(stream: string): void {
    for (const listener of [...(listeners.get(stream) ?? [])]) {
      try {
        listener();
      } catch (error) {
        env.observe({ type: 'callbackError', name: 'log', error: asFailure(error, 'permanent') });
      }
    }
  }
}

interface HeldAppend {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  readonly done: (appended: readonly Appended[]) => void;
}

interface MemoryStream {
  firstOffset: number;
  readonly records: LogRecord[];
  readonly ids: Map<string, Map<string, Position & { readonly at: number }>>;
  readonly groups: Map<string, GroupPosition>;
}
