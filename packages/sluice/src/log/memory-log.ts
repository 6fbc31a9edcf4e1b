/** The log in memory: the whole contract, for tests and simulation. 'durable' means kept in its store, which is memory too. */

import { SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import type { DeadLetterBounds } from './dead-letter.js';
import { withHarmlessObserver } from './harmless-observer.js';
import { createLetterGuard } from './letter-bounds.js';
import { checkEvents, checkName } from './limits.js';
import { createListeners } from './listeners.js';
import type { Log } from './log.js';
import { memoryAppend } from './memory-append.js';
import { memoryGroups } from './memory-groups.js';
import { memoryLetters } from './memory-letters.js';
import { type MemoryStore, type MemoryStream, memoryStore, newStream, nextOffset, resolveStart } from './memory-store.js';
import type { Appended, LogRecord, NewEvent, Receipt } from './record.js';
import { createRetentionTimer } from './retention.js';
import { partitionsFixed, type StreamOptions, type StreamSettings, streamSettings } from './stream-options.js';

/** Options of {@link createMemoryLog}. */
export interface MemoryLogOptions {
  /** Time, randomness, observation. Default: the system's. */
  readonly env?: Env;
  /** Where it keeps what a disk would keep. Default: an empty store of its own. */
  readonly store?: MemoryStore;
  /** Most events held between two commits, which come at the end of each turn of the event loop. Default 100,000. */
  readonly maxHeldItems?: number;
  /** Options of streams that say nothing of their own. Default: those of {@link StreamOptions}. */
  readonly streamDefaults?: StreamOptions;
  /** Bounds of the dead letters. Default: those of {@link DeadLetterBounds}. */
  readonly deadLetters?: DeadLetterBounds;
}

/**
 * Makes a log in memory, empty or over a store that another one has left behind.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function createMemoryLog(options: MemoryLogOptions = {}): Log {
  checkNames('createMemoryLog', options, ['env', 'store', 'maxHeldItems', 'streamDefaults', 'deadLetters']);
  const env = withHarmlessObserver(options.env ?? systemEnv());
  const maxHeldItems = numberOption('createMemoryLog: maxHeldItems', options.maxHeldItems, 100_000, { least: 1, infinite: true });
  const defaults = streamSettings('createMemoryLog: streamDefaults', options.streamDefaults ?? {});
  const store = options.store ?? memoryStore();
  const { streams } = store;
  const guard = createLetterGuard(env, options.deadLetters);
  const letters = memoryLetters(store.letters, env, guard);
  const listeners = createListeners(env);
  const groups = memoryGroups(store, env, letters, streamOf);
  const timer = createRetentionTimer(env.clock, async () => {
    groups.retain();
    return mayGrowOld();
  });
  let held: HeldAppend[] = [];
  let heldItems = 0;
  let closed = false;
  if (mayGrowOld()) timer.start();

  return {
    id: store.id,
    facets: {},
    async defineStream(stream, wanted = {}) {
      checkName('stream', stream);
      const known = streams.get(stream);
      const settings = streamSettings(`stream ${stream}`, wanted, known?.settings ?? defaults);
      if (known === undefined) streams.set(stream, newStream(settings));
      else if (settings.partitions !== known.settings.partitions) throw partitionsFixed(stream, known.settings.partitions);
      else known.settings = settings;
      if (mayGrowOld()) timer.start();
      return settings;
    },
    streamSettings: async (stream) => streams.get(stream)?.settings ?? defaults,
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
        if (!hold(stream, events, (appended) => resolve({ level: 'durable', appended } satisfies Receipt))) {
          throw new SluiceError(`the log holds all it may (maxHeldItems ${maxHeldItems}): append again a little later`, {
            code: 'OVERLOADED',
            class: 'rejected',
          });
        }
      });
    },
    async read(stream, partition, from, { maxItems, maxBytes }) {
      const known = streams.get(stream)?.partitions[partition];
      const records: LogRecord[] = [];
      if (known === undefined) return records;
      let bytes = 0;
      for (
        let i = Math.max(from, known.firstOffset) - known.firstOffset;
        i < known.records.length && records.length < maxItems;
        i++
      ) {
        const stored = known.records[i]!;
        bytes += stored.bytes;
        if (bytes > maxBytes && records.length > 0) break;
        records.push(stored.record);
      }
      return records;
    },
    async offsetAt(stream, partition, time) {
      const known = streams.get(stream)?.partitions[partition];
      return known === undefined ? 0 : resolveStart(known, { time });
    },
    onAppended: (stream, fn) => listeners.add(stream, fn),
    async streams() {
      return [...streams].flatMap(([stream, { partitions }]) =>
        partitions.map((each, partition) => ({
          stream,
          partition,
          firstOffset: each.firstOffset,
          nextOffset: nextOffset(each),
          bytes: each.bytes,
          oldestAt: each.records[0]?.at ?? null,
        })),
      );
    },
    createGroup: groups.createGroup,
    deleteGroup: groups.deleteGroup,
    groups: groups.groups,
    position: groups.position,
    lag: groups.lag,
    claim: groups.claim,
    inFlight: groups.inFlight,
    settle: groups.settle,
    skip: groups.skip,
    release: groups.release,
    seek: groups.seek,
    letters,
    retain: async () => groups.retain(),
    async flushed() {
      commit();
    },
    get memoryOnly() {
      return heldItems;
    },
    stopped: new Promise(() => {}),
    async close() {
      closed = true;
      timer.stop();
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
    const now = Math.floor(env.clock.wall());
    for (const { stream, events, done } of group) {
      const appended = events.length === 0 ? [] : memoryAppend(streamOf(stream), stream, events, now);
      done(appended);
    }
    for (const stream of new Set(group.map((append) => append.stream))) {
      if (Number.isFinite(streams.get(stream)?.settings.retention.maxBytes)) groups.retainStream(stream);
      listeners.tell([stream]);
    }
    if (group.length > 0 && mayGrowOld()) timer.start();
  }

  function streamOf(stream: string): MemoryStream {
    let known = streams.get(stream);
    if (known === undefined) {
      known = newStream(defaults);
      streams.set(stream, known);
    }
    return known;
  }

  function mayGrowOld(): boolean {
    const ages = (settings: StreamSettings) => Number.isFinite(settings.retention.maxAgeMs);
    const records = [...streams.values()].some(
      ({ settings, partitions }) => ages(settings) && partitions.some((partition) => partition.records.length > 0),
    );
    return records || (Number.isFinite(guard.maxAgeMs) && letters.items > 0);
  }
}

interface HeldAppend {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  readonly done: (appended: readonly Appended[]) => void;
}
