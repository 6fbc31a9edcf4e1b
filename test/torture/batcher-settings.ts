/** Settings of a batcher for one schedule: every option that changes what may happen, drawn. */

import { type BatcherOptions, type Env, fillRateItems, pidItems, type Window } from 'sluice';
import type { Promised, WatchOptions } from 'sluice/simulate';
import type { Draw } from './draw.js';
import type { Manners } from './hostile-sink.js';
import { type DrawnLayers, drawLayers, keyOf } from './layer-draw.js';

/** What callers of a schedule send. */
export interface Sent {
  readonly n: number;
  readonly bytes: number;
  /** Where it belongs: the lane with `laneBy`, the key with `orderBy`. */
  readonly group: string;
  /** What it was made of, where items are combined. */
  readonly of?: readonly Sent[];
}

/** What was drawn. */
export interface Settings {
  /** The options of the batcher, without its sink and layers. */
  readonly options: Partial<BatcherOptions<Sent, number>>;
  readonly drawn: DrawnLayers<Sent>;
  readonly manners: Manners;
  /** How many groups items fall into. */
  readonly groups: number;
  readonly shape: 'plain' | 'lanes' | 'keys';
  /** Items are not measured: what is merely offered is held as its bare value. */
  readonly bare: boolean;
  /** Nothing but the batcher's own limit stands before the sink. */
  readonly plain: boolean;
  /** What a watch is to hold the batcher to. */
  readonly promised: Promised & Pick<WatchOptions<Sent>, 'laneOf' | 'orderOf' | 'sameAs'>;
}

const windows: readonly Window[] = [
  { maxDelayMs: 0 },
  { maxDelayMs: 7 },
  { maxDelayMs: 50 },
  { everyMs: 30 } as unknown as Window,
  { throttleMs: 0 },
  { throttleMs: 25 },
  { quietMs: 5, maxDelayMs: 20 },
  'tick',
  'whileBusy',
];

/** Draws the settings of a batcher. `still`: with room for bursts, and mostly for nothing but them. */
export function drawSettings(draw: Draw, env: Env, still = false): Settings {
  const timeoutMs = draw.pick([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 15, 40]);
  const shape = draw.pick(['plain', 'plain', 'lanes', 'keys'] as const);
  const drawn = drawLayers<Sent>(draw, env, shape === 'keys');
  const groups = shape === 'plain' ? 1 : draw.pick([2, 5]);
  const strict = draw.chance(0.2) ? draw.pick(['halt', 'deadLetter'] as const) : undefined;
  const manners = drawManners(draw, timeoutMs, shape === 'lanes');
  const larger = still ? draw.pick([1, 5, 25]) : 1;
  const bare = still && draw.chance(0.8);
  const bounds = {
    window: draw.pick(windows),
    maxItems: draw.int(1, 6) * larger,
    maxBytes: draw.int(1, 40),
    maxInFlight: draw.int(1, 3),
    maxHeldItems: draw.int(1, 15) * larger,
    maxHeldBytes: draw.int(1, 100),
    maxWaiting: draw.int(0, 4),
    timeoutMs,
    overflow: draw.pick(['wait', 'reject', 'dropOldest', 'dropNewest'] as const),
  };
  const weights = draw.chance(0.3);
  const shaped = {
    ...(shape === 'lanes' ? { laneBy: (item: Sent) => item.group, ...drawLaneBounds(draw) } : {}),
    ...(shape === 'lanes' && weights ? { laneWeight: (lane: string) => (lane.endsWith('1') ? 3 : 1) } : {}),
    ...(shape === 'keys' ? { orderBy: (item: Sent) => item.group, shards: draw.int(1, 4) } : {}),
    ...(strict === undefined ? {} : { strict }),
  };
  const combines = draw.chance(0.15);
  const passThrough = draw.chance(0.1);
  const alone = passThrough || (strict !== undefined && !manners.atomic);
  const adapts = !alone && draw.chance(0.15);
  const options = {
    ...bounds,
    ...shaped,
    ...(combines ? { combine: { by: (item: Sent) => item.n % 3, into: combined } } : {}),
    ...(passThrough ? { passThrough: true } : {}),
    ...(adapts ? { adapt: draw.pick([pidItems, minOne])({ min: 1, max: 8 }) } : {}),
  };
  const promised = {
    ...bounds,
    ...('maxHeldItemsPerLane' in shaped ? { maxHeldItemsPerLane: shaped.maxHeldItemsPerLane } : {}),
    ...('maxHeldBytesPerLane' in shaped ? { maxHeldBytesPerLane: shaped.maxHeldBytesPerLane } : {}),
    window: passThrough ? ('whileBusy' as const) : bounds.window,
    maxItems: alone ? 1 : adapts ? Math.max(8, bounds.maxItems) : bounds.maxItems,
    ...(shape === 'plain' && strict === undefined ? {} : { maxInFlightPerLane: 1 }),
    ...(strict === 'halt' ? { halts: true } : {}),
    // A turn of 3 full batches, twice over: a bound to be kept, not the finest one.
    ...(shape === 'lanes' ? { maxPassedOver: groups * (bounds.maxItems + 20) * (weights ? 6 : 2) } : {}),
    ...(shape === 'lanes' ? { laneOf: (item: Sent) => item.group } : {}),
    ...ordersOf(shape, drawn.sharesKeys),
    refuses: drawn.refuses,
    ...(drawn.sharesKeys ? { sameAs: (item: Sent) => keyOf(item.n) } : {}),
  };
  const plain = drawn.layers.length === 0 && timeoutMs === Number.POSITIVE_INFINITY;
  return { options, drawn, manners, groups, shape, bare, plain, promised };
}

/** By a rate of arrivals, with the options of a PID controller. */
function minOne({ min, max }: { readonly min: number; readonly max: number }) {
  return fillRateItems({ delayMs: 10, min, max });
}

/** The newest of them, made of all. */
function combined(items: readonly Sent[]): Sent {
  return { ...items.at(-1)!, of: items.flatMap((item) => item.of ?? [item]) };
}

function drawManners(draw: Draw, timeoutMs: number, lanes: boolean): Manners {
  return {
    // An ordered lane needs an atomic sink.
    atomic: lanes || draw.chance(0.4),
    idempotent: draw.chance(0.5),
    fails: draw.chance(0.6),
    // Without a time-out a call that is never answered holds everything until the close.
    hangs: timeoutMs !== Number.POSITIVE_INFINITY && draw.chance(0.5),
    heedsAbort: draw.chance(0.5),
    slow: draw.chance(0.7),
  };
}

function drawLaneBounds(draw: Draw) {
  return {
    ...(draw.chance(0.3) ? { maxHeldItemsPerLane: draw.int(1, 5) } : {}),
    ...(draw.chance(0.3) ? { maxHeldBytesPerLane: draw.int(12, 40) } : {}),
    ...(draw.chance(0.2) ? { maxLanes: draw.int(1, 4) } : {}),
  };
}

/** Who waits for another with the same key goes when that one has not been tried: no order is left then. */
function ordersOf(shape: Settings['shape'], sharesKeys: boolean): { readonly orderOf?: (item: Sent) => unknown } {
  if (sharesKeys) return { orderOf: () => undefined };
  return shape === 'keys' ? { orderOf: (item) => item.group } : {};
}
