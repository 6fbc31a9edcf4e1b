/** Batcher: many `push(item)` in, few `sink.write(items)` out. */

import { promiseSettledBy, type Settler } from '../core/deferred.js';
import type { Dispatcher, Layer, Sink } from '../core/dispatcher.js';
import { failure, invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import type { Tally } from '../core/tally.js';
import type { Window } from '../core/window.js';
import type { SettledCounts } from '../engine/barrier.js';
import { type DrainReport, Engine } from '../engine/engine.js';
import { EngineItem } from '../engine/item.js';
import { onAbort } from '../engine/signals.js';
import type { Cancel, Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import { limit } from '../layers/limit.js';
import { timeout } from '../layers/timeout.js';
import { closeSink } from './close-sink.js';

/** Options of {@link createBatcher}. */
export interface BatcherOptions<T, R = void> {
  /** Where the batches go. */
  readonly sink: Sink<T, R>;
  /** Names it in events and messages. Default `'batcher'`. */
  readonly name?: string;
  /** When a batch is due. Default `{ maxDelayMs: 100 }`: soon enough for most sinks, long enough to fill batches. */
  readonly window?: Window;
  /** Items a batch, 1 or more. A full batch leaves at once. Default 500: beyond it most sinks gain little. */
  readonly maxItems?: number;
  /** Bytes a batch, as `bytesOf` measures them; an item that is larger alone leaves alone. Default 4 MiB. */
  readonly maxBytes?: number;
  /** What an item counts against `maxBytes` and `maxHeldBytes`. Called once an item. Default: 0, so that only items are counted. */
  readonly bytesOf?: (item: T) => number;
  /** Sink calls that run at once, 1 or more. Default 4. */
  readonly maxInFlight?: number;
  /** Items held at most: open, in flight, waiting for a retry, abandoned. Default 100,000. */
  readonly maxHeldItems?: number;
  /** Bytes held at most. Default 64 MiB. */
  readonly maxHeldBytes?: number;
  /** At a bound: `'wait'` (default) lets `add` and `push` wait for room, `'reject'` refuses them with `OVERLOADED`. `offer` never waits. */
  readonly overflow?: 'wait' | 'reject';
  /** Callers that may wait for room; one more is refused with `OVERLOADED`. Default 10,000. */
  readonly maxWaiting?: number;
  /** Longest time that one call of the sink may take, in milliseconds; `Infinity` for no bound. Default 30,000. */
  readonly timeoutMs?: number;
  /** Calls that may still run after their time-out; then no new one starts until one has ended. Default: `maxInFlight`. */
  readonly maxAbandoned?: number;
  /** Policies above the limit of `maxInFlight` and the time-out, outermost first, such as `[retry(), bisect()]`. Default none. */
  readonly layers?: readonly Layer<T, R>[];
  /** Time, randomness, observation. Default: the system's. */
  readonly env?: Env;
}

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

/** The balance, and what is held now. */
export interface BatcherStats extends Tally {
  readonly heldBytes: number;
}

/** Collects items and writes them in batches. */
export interface Batcher<T, R = void> extends AsyncDisposable {
  /** Takes an item at once and never waits: nothing to await, nobody is told what becomes of it but the tally. */
  offer(item: T): 'accepted' | 'full' | 'closed';
  /**
   * Resolves once the item is accepted; waits for room under `overflow: 'wait'`. A rejection that nobody observes is counted, but
   * not reported as unhandled.
   *
   * @throws SluiceError `CLOSED`, `OVERLOADED`, `ITEM_TOO_LARGE`, `CANCELLED`
   */
  add(item: T, options?: PushOptions): Promise<void>;
  /**
   * Resolves or rejects with this item's own outcome. A rejection that nobody observes is not reported as unhandled.
   *
   * @throws SluiceError as {@link Batcher.add}, and the item's failure; of a dead item with its `deadLetterId`.
   */
  push(item: T, options?: PushOptions): Promise<R>;
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

const optionNames =
  'sink name window maxItems maxBytes bytesOf maxInFlight maxHeldItems maxHeldBytes overflow maxWaiting timeoutMs maxAbandoned layers env'.split(
    ' ',
  );

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
  checkNames('createBatcher', options, optionNames);
  const { sink, env = systemEnv(), overflow = 'wait', bytesOf } = options;
  if (typeof sink?.write !== 'function') throw invalidOption('createBatcher needs a sink with a write(items) function.');
  if (overflow !== 'wait' && overflow !== 'reject')
    throw invalidOption(`createBatcher: overflow must be 'wait' or 'reject'; got ${String(overflow)}`);
  const engine = engineOf(options, env);
  let closing: Promise<DrainReport> | undefined;

  const itemOf = (value: T) => {
    const item = new PushItem<T, R>(value, bytesOf === undefined ? 0 : byteCount(bytesOf(value)));
    if (env.origin !== undefined) item.comesFrom(env.origin());
    return item;
  };

  const enter = (item: PushItem<T, R>): Promise<void> | undefined => {
    if (overflow === 'wait') return engine.accept(item);
    const admission = engine.offer(item);
    return admission === 'accepted' ? undefined : Promise.reject(engine.refusal(item.bytes, admission));
  };

  const close = async (closeOptions: CloseOptions = {}): Promise<DrainReport> => {
    checkNames('close', closeOptions, ['deadlineMs']);
    const deadlineMs = numberOption('close.deadlineMs', closeOptions.deadlineMs, 30_000, { least: 0, infinite: true });
    if (closing === undefined) {
      const drained = engine.close(deadlineMs);
      // Once more `??=`: the drain has called the sink, and that may have called close.
      closing ??= drained.then((report) => closeSink(sink, report, deadlineMs, env.clock));
    }
    return closing;
  };

  return {
    offer(value) {
      // What nobody waits for, measures or traces is held as it is.
      const bare = bytesOf === undefined && env.origin === undefined;
      const admission = bare ? engine.offerValue(value) : engine.offer(itemOf(value));
      return admission === 'accepted' || admission === 'closed' ? admission : 'full';
    },
    add: (value, { signal } = {}) => handled(added(value, signal)),
    push: (value, pushOptions) => pushed(value, pushOptions?.signal),
    flush: () => engine.flush(),
    close,
    stats: () => ({ ...engine.tally(), heldBytes: engine.held().bytes }),
    async [Symbol.asyncDispose]() {
      await close();
    },
  };

  async function added(value: T, signal: AbortSignal | undefined): Promise<void> {
    const item = itemOf(value);
    if (signal?.aborted && !engine.closed) throw cancelled(signal);
    const entered = enter(item);
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

  function pushed(value: T, signal: AbortSignal | undefined): Promise<R> {
    let item: PushItem<T, R>;
    try {
      item = itemOf(value);
    } catch (thrown) {
      return handled(Promise.reject(thrown));
    }
    if (signal?.aborted && !engine.closed) return handled(Promise.reject(cancelled(signal)));
    const promise = promiseSettledBy(item);
    item.promise = promise;
    // Before it enters: that may fill a batch, which then leaves in this same turn.
    if (signal !== undefined) {
      item.unwatch = onAbort(signal, () => {
        const reason = cancelled(signal);
        if (engine.cancel(item, reason)) item.fail(reason);
      });
    }
    enter(item)?.catch((reason: SluiceError) => {
      item.unwatch?.();
      item.fail(reason);
    });
    return promise;
  }
}

/** An item whose caller may wait. */
class PushItem<T, R> extends EngineItem<T> implements Settler<R> {
  resolve: ((value: R) => void) | undefined = undefined;
  reject: ((reason: unknown) => void) | undefined = undefined;
  promise: Promise<R> | undefined = undefined;
  /** Stops watching its caller's signal. */
  unwatch: Cancel | undefined = undefined;

  /** Rejects; only then is the promise marked as looked after, which costs as much as all else of a push. */
  fail(reason: SluiceError): void {
    if (this.promise !== undefined) handled(this.promise);
    this.reject?.(reason);
  }
}

function engineOf<T, R>(options: BatcherOptions<T, R>, env: Env): Engine<T, R, PushItem<T, R>> {
  const at = (name: string) => `createBatcher: ${name}`;
  const count = { least: 1, whole: true, infinite: true };
  const maxInFlight = numberOption(at('maxInFlight'), options.maxInFlight, 4, count);
  const layers: readonly Layer<T, R>[] = [
    ...(options.layers ?? []),
    limit({ maxInFlight }),
    timeout({
      timeoutMs: numberOption(at('timeoutMs'), options.timeoutMs, 30_000, { least: 1, infinite: true }),
      maxAbandoned: options.maxAbandoned ?? maxInFlight,
    }),
  ];
  return new Engine<T, R, PushItem<T, R>>({
    name: options.name ?? 'batcher',
    env,
    window: options.window ?? { maxDelayMs: 100 },
    maxItems: numberOption(at('maxItems'), options.maxItems, 500, count),
    maxBytes: numberOption(at('maxBytes'), options.maxBytes, 4 << 20, count),
    maxHeldItems: numberOption(at('maxHeldItems'), options.maxHeldItems, 100_000, count),
    maxHeldBytes: numberOption(at('maxHeldBytes'), options.maxHeldBytes, 64 << 20, count),
    maxWaiting: numberOption(at('maxWaiting'), options.maxWaiting, 10_000, { least: 0, whole: true, infinite: true }),
    idempotent: options.sink.idempotent === true,
    dispatcher: (engineEnv): Dispatcher<T, R> => stack(layers, sinkDispatcher(options.sink, engineEnv), engineEnv),
    settle: tell,
  });
}

function tell<T, R>(item: PushItem<T, R>, outcome: Outcome<R>): void {
  item.unwatch?.();
  if (outcome.kind === 'ok') item.resolve?.(outcome.value);
  else if (outcome.kind === 'failed') item.fail?.(outcome.failure);
  else item.fail?.(failure(outcome.failure, { deadLetterId: outcome.deadLetterId }));
}

function byteCount(bytes: number): number {
  // Whole numbers add up and subtract exactly: at rest the held bytes are 0.
  if (Number.isFinite(bytes) && bytes >= 0) return Math.ceil(bytes);
  throw invalidOption(`bytesOf must return a number of bytes, 0 or more; got ${String(bytes)}`);
}

function cancelled(signal: AbortSignal): SluiceError {
  return failure('the caller aborted.', { code: 'CANCELLED', class: 'rejected', cause: signal.reason });
}

/** A caller need not look: a rejection that nobody observes must not end the process. */
function handled<V>(promise: Promise<V>): Promise<V> {
  promise.catch(() => {});
  return promise;
}
