/** Options of a batcher, and what the engine makes of them. */

import type { Layer, Sink } from '../core/dispatcher.js';
import { invalidOption } from '../core/errors.js';
import type { DropReason } from '../core/event.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Window } from '../core/window.js';
import type { EngineOptions } from '../engine/engine.js';
import { manyLanes } from '../engine/lanes.js';
import { waitingRoom } from '../engine/waiting.js';
import type { Env } from '../env/env.js';
import type { AdaptiveItems } from './adaptive-size.js';
import type { Combine } from './combine.js';
import type { PushItem } from './push-item.js';

/** Options of {@link createBatcher}. */
export interface BatcherOptions<T, R = void> {
  /** Where the batches go. */
  readonly sink: Sink<T, R>;
  /** Names it in events and messages. Default `'batcher'`. */
  readonly name?: string;
  /**
   * When a batch is due. Default `{ maxDelayMs: 100 }`: soon enough for most sinks, long enough to fill batches. Of an hour or more an
   * event warns (`warning`): so long items are safe in a log, not in memory.
   */
  readonly window?: Window;
  /** Items a batch, 1 or more. A full batch leaves at once. Default 500: beyond it most sinks gain little. */
  readonly maxItems?: number;
  /**
   * Bytes a batch, as `bytesOf` measures them; an item that is larger alone leaves alone. Given without `bytesOf` it bounds nothing, and
   * an event warns (`warning`). Default 4 MiB.
   */
  readonly maxBytes?: number;
  /** What an item counts against `maxBytes` and `maxHeldBytes`. Called once an item. Default: 0, so that only items are counted. */
  readonly bytesOf?: (item: T) => number;
  /** Sink calls that run at once, 1 or more. Default 4. */
  readonly maxInFlight?: number;
  /** Items held at most: open, in flight, waiting for a retry, abandoned. Default 100,000. */
  readonly maxHeldItems?: number;
  /** Bytes held at most, as `bytesOf` measures them. Given without it, it bounds nothing, and an event warns. Default 64 MiB. */
  readonly maxHeldBytes?: number;
  /**
   * At a bound: `'wait'` (default) lets `add` and `push` wait for room; `'reject'` refuses them with `OVERLOADED`, or `TENANT_LIMIT`
   * where only their lane is full; `'dropOldest'` drops what is held longest, in the lane of the newcomer first; `'dropNewest'` drops
   * the newcomer. What is dropped is counted, and its waiter gets `DROPPED`. What is in flight is never dropped. `offer` never waits.
   */
  readonly overflow?: 'wait' | 'reject' | DropReason;
  /**
   * Told of each item that `overflow` drops, in a promise job of its own, not within the call that caused it (unless more of them
   * wait for that than may be held). What it throws is an event (`callbackError`). Default: only counted.
   */
  readonly onDrop?: (item: T, reason: DropReason) => void;
  /** Callers that may wait for room; one more is refused with `OVERLOADED`. Default 10,000. */
  readonly maxWaiting?: number;
  /** Longest time that one call of the sink may take, in milliseconds; `Infinity` for no bound. Default 30,000. */
  readonly timeoutMs?: number;
  /** Calls that may still run after their time-out; then no new one starts until one has ended. Default: `maxInFlight`. */
  readonly maxAbandoned?: number;
  /**
   * The lane of an item, such as its tenant. Items of one lane share batches and bounds and keep their order; lanes share the sink
   * fairly, so that one that is busy, slow or failing does not hold up the others. Default: one lane for all.
   */
  readonly laneBy?: (item: T) => string;
  /** Lanes in use at most; an item that needs one more is refused with `TOO_MANY_LANES`. Idle ones are forgotten. Default 10,000. */
  readonly maxLanes?: number;
  /** The share of a lane, from 0.01 to 100: full batches a turn. Default 1 for each. */
  readonly laneWeight?: (lane: string) => number;
  /** What a turn is measured in: `'items'` (default), or `'bytes'` where those are the larger part of a full batch. */
  readonly fairBy?: 'items' | 'bytes';
  /**
   * Batches of one lane that are not settled, retries and their pauses included. Default 1 with lanes, which keeps each lane's order;
   * no bound without. With `orderBy` or `strict` it is 1.
   */
  readonly maxInFlightPerLane?: number;
  /** Items that one lane holds at most. Default: `maxHeldItems`. */
  readonly maxHeldItemsPerLane?: number;
  /** Bytes that one lane holds at most. Default: `maxHeldBytes`. */
  readonly maxHeldBytesPerLane?: number;
  /**
   * Items of the same key are written in the order in which they were offered; `undefined`: this one has no order. Keys are spread
   * over `shards` lanes, unless `laneBy` says otherwise. Where the sink is not `atomic`, a batch carries one item a key: a retry of a
   * part would else overtake. Default: no order is kept but that of the lanes.
   */
  readonly orderBy?: (item: T) => string | number | bigint | undefined;
  /**
   * Names an item for good: a sink finds it as `idempotencyKey` of its entry, the idempotency layer sends it once, a dead letter keeps it. Called
   * once an item. Default: items have none.
   */
  readonly idempotencyKey?: (item: T) => string;
  /** Lanes that `orderBy` spreads its keys over, hence calls that may run at once for them, 1 or more. Default 8. */
  readonly shards?: number;
  /**
   * Strict order in each lane, one batch at a time. `'halt'`: after an item that failed for good nothing of its lane is sent until
   * `resume`; it stays held. `'deadLetter'`: goes on behind it; have a dead-letter layer park it. Where the sink is not `atomic`,
   * items are sent one by one. Default: batches go on past what failed.
   */
  readonly strict?: 'halt' | 'deadLetter';
  /** Makes one item of several, or another of one, before the sink sees them. Each that it came from gets its outcome. Default: items go as they are. */
  readonly combine?: Combine<T>;
  /**
   * Adjusts `maxItems`, which is where it starts, to what comes; see `pidItems` and `fillRateItems`. Not where items go one by one.
   * Default: it stays.
   */
  readonly adapt?: AdaptiveItems;
  /** Each item is a call of its own, at once: no window and no batches; bounds, layers and the tally stay. Default false. */
  readonly passThrough?: boolean;
  /** Policies above the limit of `maxInFlight` and the time-out, outermost first, such as `[retry(), bisect()]`. Default none. */
  readonly layers?: readonly Layer<T, R>[];
  /** Time, randomness, observation. Default: the system's. */
  readonly env?: Env;
}

const optionNames = [
  ...'sink name window maxItems maxBytes bytesOf maxInFlight maxHeldItems maxHeldBytes overflow onDrop maxWaiting timeoutMs'.split(
    ' ',
  ),
  ...'maxAbandoned laneBy maxLanes laneWeight fairBy maxInFlightPerLane maxHeldItemsPerLane maxHeldBytesPerLane orderBy'.split(
    ' ',
  ),
  ...'idempotencyKey shards strict combine adapt passThrough layers env'.split(' '),
];

const count = { least: 1, whole: true, infinite: true };

/** A number of the options of `createBatcher`. */
export function batcherNumber(
  name: string,
  value: number | undefined,
  fallback: number,
  range: Parameters<typeof numberOption>[3] = count,
): number {
  return numberOption(`createBatcher: ${name}`, value, fallback, range);
}

/**
 * Checks what is not a number.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function checkBatcherOptions<T, R>(options: BatcherOptions<T, R>): void {
  checkNames('createBatcher', options, optionNames);
  if (typeof options.sink?.write !== 'function') throw invalidOption('createBatcher needs a sink with a write(items) function.');
  const { overflow, strict, fairBy } = options;
  oneOf('overflow', overflow, ['wait', 'reject', 'dropOldest', 'dropNewest']);
  oneOf('strict', strict, ['halt', 'deadLetter']);
  oneOf('fairBy', fairBy, ['items', 'bytes']);
  for (const name of ['onDrop', 'laneBy', 'laneWeight', 'orderBy', 'idempotencyKey', 'bytesOf'] as const) {
    if (options[name] !== undefined && typeof options[name] !== 'function')
      throw invalidOption(`createBatcher: ${name} must be a function; got ${typeof options[name]}`);
  }
  // One that is none would be asked by each cut, throw there, and merely not be heard.
  if (options.adapt !== undefined && typeof options.adapt?.next !== 'function')
    throw invalidOption('createBatcher: adapt must be what pidItems() or fillRateItems() gives, an object with next(cut)');
  if (options.combine !== undefined && typeof options.combine?.into !== 'function')
    throw invalidOption('createBatcher: combine must be an object with into(items), and by(item) if it is to join any');
  if (options.shards !== undefined && (options.orderBy === undefined || options.laneBy !== undefined))
    throw invalidOption('createBatcher: shards needs orderBy, and no laneBy: it says how many lanes the keys are spread over');
  if (strict !== undefined && (options.maxInFlightPerLane ?? 1) !== 1)
    throw invalidOption('createBatcher: strict allows one batch of a lane at a time; leave maxInFlightPerLane out');
  if (options.orderBy !== undefined && (options.maxInFlightPerLane ?? 1) !== 1)
    throw invalidOption(
      'createBatcher: orderBy needs one batch of a lane at a time; leave maxInFlightPerLane out, and raise shards for more calls',
    );
  if (options.adapt !== undefined && goesOneByOne(options))
    throw invalidOption(
      'createBatcher: adapt has nothing to adapt where items go one by one: under passThrough, or strict with a sink that is not atomic',
    );
}

/** No batch has more than one item, whatever `maxItems` says. */
function goesOneByOne<T, R>({ passThrough, strict, sink }: BatcherOptions<T, R>): boolean {
  return passThrough === true || (strict !== undefined && sink.atomic !== true);
}

/** What of an engine's options says how much, when, and in which lane. */
export type EngineBounds<T, R> = Omit<
  EngineOptions<T, R, PushItem<T, R>>,
  'name' | 'env' | 'dispatcher' | 'settle' | 'onSettled' | 'onCut' | 'onCounted' | 'drops' | 'split'
>;

/** The bounds of a batcher's engine, and its lanes: `laneOf` is undefined where there is one for all. */
export function boundsOf<T, R>(options: BatcherOptions<T, R>, laneOf: ((item: T) => string) | undefined): EngineBounds<T, R> {
  const { sink, strict, orderBy, laneWeight, passThrough } = options;
  const maxHeldItems = batcherNumber('maxHeldItems', options.maxHeldItems, 100_000);
  const maxHeldBytes = batcherNumber('maxHeldBytes', options.maxHeldBytes, 64 << 20);
  const oneByOne = goesOneByOne(options);
  const inOrder = laneOf !== undefined || strict !== undefined;
  const maxLanes = batcherNumber('maxLanes', options.maxLanes, 10_000);
  const held = {
    maxHeldItems: batcherNumber('maxHeldItemsPerLane', options.maxHeldItemsPerLane, maxHeldItems),
    maxHeldBytes: batcherNumber('maxHeldBytesPerLane', options.maxHeldBytesPerLane, maxHeldBytes),
  };
  return {
    window: passThrough === true ? 'whileBusy' : (options.window ?? { maxDelayMs: 100 }),
    maxItems: oneByOne ? 1 : batcherNumber('maxItems', options.maxItems, 500),
    maxBytes: batcherNumber('maxBytes', options.maxBytes, 4 << 20),
    maxHeldItems,
    maxHeldBytes,
    waiting: waitingRoom(batcherNumber('maxWaiting', options.maxWaiting, 10_000, { ...count, least: 0 })),
    idempotent: sink.idempotent === true,
    maxInFlightPerLane: batcherNumber('maxInFlightPerLane', options.maxInFlightPerLane, inOrder ? 1 : Number.POSITIVE_INFINITY),
    lanes:
      laneOf &&
      manyLanes({
        laneOf,
        maxLanes,
        held,
        fairBy: options.fairBy,
        weightOf: laneWeight === undefined ? () => 1 : (lane) => weight(lane, laneWeight(lane)),
      }),
    ...(orderBy === undefined || sink.atomic === true ? {} : { orderKeyOf: orderBy }),
  };
}

function oneOf(name: string, value: string | undefined, known: readonly string[]): void {
  if (value === undefined || known.includes(value)) return;
  throw invalidOption(`createBatcher: ${name} must be ${known.map((one) => `'${one}'`).join(', ')}; got ${String(value)}`);
}

function weight(lane: string, given: number): number {
  if (given >= 0.01 && given <= 100) return given;
  throw invalidOption(`laneWeight must return a number from 0.01 to 100; got ${String(given)} for ${lane}`);
}
