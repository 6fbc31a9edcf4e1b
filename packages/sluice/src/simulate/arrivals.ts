/** Arrivals: when items come. Each process is a small generator of times, drawn from a seed. */

import { failure, invalidOption, shorten } from '../core/errors.js';
import { numberOption } from '../core/options.js';
import type { Random } from '../env/env.js';

/** An arrival process. Make one with {@link steady}, {@link poisson}, {@link bursts}, {@link onOff} or {@link trace}, or your own. */
export interface Arrivals {
  /**
   * Begins the process.
   *
   * @returns a function that answers the time of the next arrival at each call, in milliseconds from the start, never falling;
   * `Infinity` when there are no more.
   */
  start(random: Random): () => number;
}

/** Options of {@link steady} and {@link poisson}. */
export interface RateOptions {
  /** Items a second, more than 0. */
  readonly perSecond: number;
  /** When it begins, in milliseconds. Default 0. */
  readonly fromMs?: number;
  /** How many items come in all. Default: no end. */
  readonly items?: number;
}

/** Items at equal distances, the first one at `fromMs`. */
export function steady(options: RateOptions): Arrivals {
  const { gapMs, fromMs, items } = rateOf('steady', options);
  return {
    start() {
      let n = 0;
      // Multiplied, not added up: a million times 0.1 ms must be 100 s.
      return () => (n < items ? fromMs + n++ * gapMs : Number.POSITIVE_INFINITY);
    },
  };
}

/** Items that come independently of each other, so many a second on average: many callers who know nothing of each other. */
export function poisson(options: RateOptions): Arrivals {
  const { gapMs, fromMs, items } = rateOf('poisson', options);
  return {
    start(random) {
      let at = fromMs;
      let n = 0;
      return () => {
        at += exponential(random, gapMs);
        return n++ < items ? at : Number.POSITIVE_INFINITY;
      };
    },
  };
}

/** Options of {@link bursts}. */
export interface BurstOptions {
  /** Items of one burst, 1 or more; they come in one turn. */
  readonly items: number;
  /** From the start of one burst to that of the next, in milliseconds. */
  readonly everyMs: number;
  /** When the first one comes, in milliseconds. Default 0. */
  readonly fromMs?: number;
}

/** Many items in one turn, again and again: a cron job, a page that asks for everything at once. */
export function bursts(options: BurstOptions): Arrivals {
  const items = numberOption('bursts.items', options.items ?? Number.NaN, 0, { least: 1, whole: true });
  const everyMs = positive('bursts.everyMs', options.everyMs);
  const fromMs = numberOption('bursts.fromMs', options.fromMs, 0, { least: 0 });
  return {
    start() {
      let n = 0;
      return () => fromMs + Math.floor(n++ / items) * everyMs;
    },
  };
}

/** Options of {@link onOff}. */
export interface OnOffOptions {
  /** Items a second while it is on. */
  readonly perSecond: number;
  /** Mean length of an on-phase, in milliseconds. */
  readonly onMs: number;
  /** Mean length of an off-phase, in milliseconds. */
  readonly offMs: number;
}

/** A Poisson process that is switched on and off; the phases have exponential lengths (an interrupted Poisson process). */
export function onOff(options: OnOffOptions): Arrivals {
  const gapMs = 1000 / positive('onOff.perSecond', options.perSecond);
  const onMs = positive('onOff.onMs', options.onMs);
  const offMs = positive('onOff.offMs', options.offMs);
  return {
    start(random) {
      let at = 0;
      let onUntil = exponential(random, onMs);
      return () => {
        at += exponential(random, gapMs);
        // The process has no memory: what would have come after the end of the phase begins anew with the next one.
        while (at > onUntil) {
          const onFrom = onUntil + exponential(random, offMs);
          at = onFrom + exponential(random, gapMs);
          onUntil = onFrom + exponential(random, onMs);
        }
        return at;
      };
    },
  };
}

/**
 * Items at the given times, in milliseconds from the start: a recording of real traffic.
 *
 * @throws SluiceError `INVALID_OPTION` when the times fall, or are not numbers of milliseconds.
 */
export function trace(timesMs: readonly number[]): Arrivals {
  const wrong = timesMs.findIndex((at, i) => !(at >= (i === 0 ? 0 : timesMs[i - 1]!)) || !Number.isFinite(at));
  if (wrong !== -1) {
    throw invalidOption(
      `trace: times are milliseconds from the start and never fall; got ${shorten(timesMs[wrong])} at index ${wrong}`,
    );
  }
  return {
    start() {
      let n = 0;
      return () => timesMs[n++] ?? Number.POSITIVE_INFINITY;
    },
  };
}

/** One stream of arrivals among several: who sends, and how large its items are. */
export interface ArrivalStream {
  readonly arrivals: Arrivals;
  /** Names it, as a tenant's name does; `laneBy` sees it as `item.stream`. Default `''`. */
  readonly stream?: string;
  /** Bytes of an item, 0 or more; a range is drawn from uniformly. Default 0. */
  readonly bytes?: number | { readonly least: number; readonly most: number };
}

/** One arrival of a merged process. */
export interface Arrival {
  readonly atMs: number;
  readonly stream: string;
  readonly bytes: number;
}

/** Several streams as one, in the order of their times; at the same time in the order of the streams. */
export function merged(streams: readonly ArrivalStream[], randomOf: (stream: number) => Random): () => Arrival | undefined {
  const sources = streams.map(({ arrivals, stream = '', bytes = 0 }, i) => {
    const random = randomOf(i);
    const next = arrivals.start(random);
    const draw =
      typeof bytes === 'number' ? () => bytes : () => bytes.least + Math.floor(random.next() * (bytes.most - bytes.least + 1));
    return { stream, next, draw, atMs: next() };
  });
  return () => {
    let first = sources[0];
    for (const source of sources) if (source.atMs < first!.atMs) first = source;
    if (first === undefined || first.atMs === Number.POSITIVE_INFINITY) return undefined;
    const arrival = { atMs: first.atMs, stream: first.stream, bytes: first.draw() };
    first.atMs = first.next();
    if (!(first.atMs >= arrival.atMs)) {
      throw failure(`arrivals must never go back in time: ${shorten(first.atMs)} ms came after ${arrival.atMs} ms.`, {
        code: 'INVALID_OPTION',
      });
    }
    return arrival;
  };
}

function rateOf(where: string, options: RateOptions): { gapMs: number; fromMs: number; items: number } {
  return {
    gapMs: 1000 / positive(`${where}.perSecond`, options.perSecond),
    fromMs: numberOption(`${where}.fromMs`, options.fromMs, 0, { least: 0 }),
    items: numberOption(`${where}.items`, options.items, Number.POSITIVE_INFINITY, { least: 0, whole: true, infinite: true }),
  };
}

function positive(where: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw invalidOption(`${where} must be a number above 0; got ${shorten(value)}`);
}

/** Inverse transform sampling; 1 − u, because u may be 0. */
function exponential(random: Random, mean: number): number {
  return -Math.log(1 - random.next()) * mean;
}
