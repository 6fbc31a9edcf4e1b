/** Batcher: many `push(item)` in, few `sink.write(items)` out. */

import { promiseSettledBy } from '../core/deferred.js';
import { failure, invalidOption, type SluiceError } from '../core/errors.js';
import { checkCall, checkNames, numberOption } from '../core/options.js';
import type { Tally } from '../core/tally.js';
import type { Admission } from '../engine/admission.js';
import type { SettledCounts } from '../engine/barrier.js';
import type { DrainReport } from '../engine/engine.js';
import { resumeLanes } from '../engine/halts.js';
import { onAbort } from '../engine/signals.js';
import { systemEnv } from '../env/system.js';
import { engineOf } from './batcher-engine.js';
import { closeSink } from './close-sink.js';
import { type BatcherOptions, batcherNumber, checkBatcherOptions } from './options.js';
import { AckItem, handled, PushItem } from './push-item.js';
import { createShards, type Shards } from './shard.js';
import { warnOf } from './warnings.js';

export type { BatcherOptions } from './options.js';

/** Options of one `add` or `push`. */
export interface PushOptions {
  /**
   * Leaves: an item that was not sent yet is not sent; the promise rejects with `CANCELLED`. An `add` is over once the item is
   * accepted.
   */
  readonly signal?: AbortSignal;
}

/** Options of {@link Batcher.close}. */
export interface CloseOptions {
  /** How long to wait, in milliseconds, 0 or more; `Infinity` to wait for ever. Default 30,000. */
  readonly deadlineMs?: number;
}

/** The balance of one lane, and what it holds now. */
export interface LaneStats extends Tally {
  readonly lane: string;
  readonly heldBytes: number;
  /** Something failed under `strict: 'halt'`: nothing is sent until `resume`. */
  readonly halted: boolean;
}

/** The balance, and what is held now. */
export interface BatcherStats extends Tally {
  readonly heldBytes: number;
  /** Of the dropped: by which policy. The rest was unsettled at the deadline of a close. */
  readonly drops: { readonly dropOldest: number; readonly dropNewest: number };
  /** Items that a batch may have now; moves where `adapt` is given. */
  readonly maxItems: number;
  /** One row for each lane that is in use. Where all have one lane, it is named `''`. */
  readonly lanes: readonly LaneStats[];
}

/** What became of one item that was written. */
export interface Ack<R> {
  readonly value: R;
  /** The batch that it was written in, as in events. */
  readonly batchId: string;
  /** Its place in that batch. */
  readonly index: number;
}

/** Collects items and writes them in batches. */
export interface Batcher<T, R = void> extends AsyncDisposable {
  /**
   * Takes an item at once and never waits: nothing to await, nobody is told what becomes of it but the tally. `'full'` also answers an
   * item that is larger alone than `maxHeldBytes`, which never fits: do not offer it again for ever. `push` says `ITEM_TOO_LARGE` of it.
   */
  offer(item: T): 'accepted' | 'full' | 'closed';
  /**
   * Resolves once the item is accepted; waits for room under `overflow: 'wait'`. A rejection that nobody observes is counted, but
   * not reported as unhandled.
   *
   * @throws SluiceError `CLOSED`, `OVERLOADED`, `TENANT_LIMIT`, `TOO_MANY_LANES`, `ITEM_TOO_LARGE`, `DROPPED`, `CANCELLED`, `INVALID_OPTION`
   */
  add(item: T, options?: PushOptions): Promise<void>;
  /**
   * Resolves or rejects with this item's own outcome. A rejection that nobody observes is not reported as unhandled.
   *
   * @throws SluiceError as {@link Batcher.add}, and the item's failure; of a dead item with its `deadLetterId`.
   */
  push(item: T, options?: PushOptions): Promise<R>;
  /** As {@link Batcher.push}, and says in which batch it was written, and where in it. */
  ack(item: T, options?: PushOptions): Promise<Ack<R>>;
  /**
   * Goes on in the lanes that halted at a failure under `strict: 'halt'`, or in the named one. What failed is not sent again: its
   * waiters were told.
   */
  resume(lane?: string): void;
  /**
   * Spreads the keys of `orderBy` over so many lanes from now on. A key whose items are on their way moves when the last of them has
   * ended, so that its order is kept; no more keys move than must.
   *
   * @throws SluiceError `INVALID_OPTION`
   */
  reshard(shards: number): void;
  /** Cuts now; resolves once everything held, in flight or waiting at this moment is settled, with what became of it. Never rejects. */
  flush(): Promise<SettledCounts>;
  /**
   * Accepts no more, writes what is held, waits for it, then closes the sink. Idempotent: later calls get the first one's report.
   *
   * What is unsettled at the deadline is dropped: its waiters get `SHUTDOWN_TIMEOUT`, and the report counts it. A sink must not
   * await `close` or `flush` in its `write`: both wait for that very write.
   *
   * @throws CloseError `CLOSE_FAILED` when the sink could not be closed; it carries the report.
   */
  close(options?: CloseOptions): Promise<DrainReport>;
  /** The balance at this instant. */
  stats(): BatcherStats;
}

/**
 * Collects items and writes them in batches.
 *
 * @example
 * const audit = createBatcher<AuditEvent>({ sink, window: { maxDelayMs: 80 }, maxItems: 500 });
 * audit.offer(event);
 * await audit.close();
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function createBatcher<T, R = void>(options: BatcherOptions<T, R>): Batcher<T, R> {
  checkBatcherOptions(options);
  const { sink, env = systemEnv(), overflow = 'wait', bytesOf, laneBy, orderBy, idempotencyKey } = options;
  const shards = orderBy === undefined ? undefined : createShards(batcherNumber('shards', options.shards, 8, shardRange));
  const byKey = orderBy === undefined || shards === undefined ? undefined : (item: T) => laneOfKey(orderBy(item), shards);
  const { engine, drops } = engineOf(options, env, laneBy ?? byKey, ended);
  // What nobody waits for, measures, orders or traces is held as it is.
  const named = orderBy !== undefined || idempotencyKey !== undefined;
  const bare = bytesOf === undefined && !named && env.origin === undefined;
  warnOf(engine, options);
  let closing: Promise<DrainReport> | undefined;

  return {
    offer(value) {
      const admission = bare ? engine.offerValue(value) : offered(new PushItem<T, R>(value, bytesFor(value)));
      return admission === 'accepted' || admission === 'closed' ? admission : 'full';
    },
    add: (value, pushOptions) => handled(added(value, pushOptions)),
    push: (value, pushOptions) => pushed<R>(PushItem, value, pushOptions),
    ack: (value, pushOptions) => pushed<Ack<R>>(AckItem, value, pushOptions),
    flush: () => engine.flush(),
    resume: (lane) => resumeLanes(engine, lane),
    reshard(count) {
      if (shards === undefined || laneBy !== undefined)
        throw invalidOption('reshard needs a batcher with orderBy and without laneBy.');
      shards.resize(numberOption('reshard', count, 0, shardRange));
    },
    close,
    stats: () => ({
      ...engine.tally(),
      heldBytes: engine.capacity.bytes,
      drops: { ...drops },
      maxItems: engine.bounds.maxItems,
      lanes: [...engine.lanes.all].map(({ name, tally, capacity, halted }) => ({
        lane: name,
        ...tally,
        heldBytes: capacity.bytes,
        halted,
      })),
    }),
    async [Symbol.asyncDispose]() {
      await close();
    },
  };

  function bytesFor(value: T): number {
    return bytesOf === undefined ? 0 : byteCount(bytesOf(value));
  }

  async function close(closeOptions: CloseOptions = {}): Promise<DrainReport> {
    checkNames('close', closeOptions, ['deadlineMs']);
    const deadlineMs = numberOption('close.deadlineMs', closeOptions.deadlineMs, 30_000, { least: 0, infinite: true });
    if (closing === undefined) {
      const drained = engine.close(deadlineMs);
      // Once more `??=`: the drain has called the sink, and that may have called close.
      closing ??= drained.then((report) => closeSink(sink, report, deadlineMs, env.clock));
    }
    return closing;
  }

  /** Its key stays in its lane from here on, until the item has ended. */
  function enter(item: PushItem<T, R>): void {
    if (env.origin !== undefined) item.comesFrom(env.origin());
    if (idempotencyKey !== undefined) item.idempotencyKey = idempotencyKey(item.value);
    const key = orderBy?.(item.value);
    if (key === undefined || shards === undefined) return;
    item.orderKey = key;
    shards.enter(key);
  }

  function ended(item: PushItem<T, R>): void {
    if (item.orderKey !== undefined) shards?.leave(item.orderKey);
  }

  function offered(item: PushItem<T, R>): Admission {
    enter(item);
    const admission = engine.offer(item);
    if (admission !== 'accepted') ended(item);
    return admission;
  }

  /** Undefined when it is taken; otherwise rejects when it is refused, or resolves when there is room. */
  function taken(item: PushItem<T, R>): Promise<void> | undefined {
    if (overflow !== 'wait') {
      const admission = offered(item);
      return admission === 'accepted' ? undefined : Promise.reject(engine.refusal(item.bytes, admission));
    }
    enter(item);
    const waiting = engine.accept(item);
    waiting?.catch(() => ended(item));
    return waiting;
  }

  async function added(value: T, pushOptions: PushOptions | undefined): Promise<void> {
    const signal = signalOf(pushOptions);
    const item = new PushItem<T, R>(value, bytesFor(value));
    if (signal?.aborted && !engine.closed) throw cancelled(signal);
    const entered = taken(item);
    if (entered === undefined) return;
    // Only while it waits: what was accepted in the same turn is not lost to an abort, for its caller will hear that it is in.
    const leave = () => {
      if (item.phase === 'waiting') engine.cancel(item, cancelled(signal!));
    };
    const unwatch = signal === undefined ? () => {} : onAbort(signal, leave);
    try {
      await entered;
    } finally {
      unwatch();
    }
  }

  function pushed<V>(Item: typeof PushItem<T, R>, value: T, pushOptions: PushOptions | undefined): Promise<V> {
    let item: PushItem<T, R> | undefined;
    try {
      const signal = signalOf(pushOptions);
      item = new Item(value, bytesFor(value));
      if (signal?.aborted && !engine.closed) throw cancelled(signal);
      const promise = promiseSettledBy<unknown>(item) as Promise<V>;
      item.promise = promise;
      // Before it enters: that may fill a batch, which then leaves in this same turn.
      if (signal !== undefined) watch(item, signal);
      const entered = taken(item);
      if (entered !== undefined) refusing(item, entered);
      return promise;
    } catch (thrown) {
      item?.unwatch?.();
      return handled(Promise.reject(thrown));
    }
  }

  function refusing(item: PushItem<T, R>, entered: Promise<void>): void {
    entered.catch((reason: SluiceError) => {
      item.unwatch?.();
      item.fail(reason);
    });
  }

  function watch(item: PushItem<T, R>, signal: AbortSignal): void {
    item.unwatch = onAbort(signal, () => {
      const inLine = item.phase === 'waiting';
      const reason = cancelled(signal);
      if (!engine.cancel(item, reason)) return;
      // One that waited for room is told by that wait, and its key is given back there.
      if (!inLine) ended(item);
      item.fail(reason);
    });
  }
}

const shardRange = { least: 1, whole: true };

function laneOfKey(key: string | number | bigint | undefined, shards: Shards): string {
  return key === undefined ? shards.anyLane() : shards.laneOf(key);
}

function byteCount(bytes: number): number {
  // Whole numbers add up and subtract exactly: at rest the held bytes are 0.
  if (Number.isFinite(bytes) && bytes >= 0) return Math.ceil(bytes);
  throw invalidOption(`bytesOf must return a number of bytes, 0 or more; got ${String(bytes)}`);
}

/** Most calls have no options, and pay for no check of them. */
function signalOf(options: PushOptions | undefined): AbortSignal | undefined {
  if (options === undefined) return undefined;
  checkCall(options, ['signal']);
  return options.signal;
}

function cancelled(signal: AbortSignal): SluiceError {
  return failure('the caller aborted.', { code: 'CANCELLED', class: 'rejected', cause: signal.reason });
}
