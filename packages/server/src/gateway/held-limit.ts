/**
 * Held limit: how many items may be on their way into the log. It grows while they get there in time and is used, and shrinks while
 * even the fastest of an interval is late, by the target and by what was best lately: a queue that stands, in the sense of CoDel (Nichols and Jacobson, 2012), not a burst.
 */

import type { Clock } from 'sluice';

/** The items on their way, and their bound. */
export interface HeldLimit {
  readonly items: number;
  readonly limit: number;
  /** Takes items; answers with the time, for `give`. */
  take(items: number): number;
  give(items: number, takenAt: number): void;
  /** How long so many items are likely to take, in milliseconds, by the rate at which they went lately; 100 to 30,000. */
  drainMs(items: number): number;
}

const intervalMs = 100;
/** As many as the command `push` sends at once: below it one sender alone would wait for itself. */
const leastLimit = 2_000;
const shrink = 0.8;
const growth = 1.1;
/** So many times the best is late, however slow the disk is by itself. */
const late = 3;
/** A disk that has become slow for good is known as such after some seconds. */
const forgetting = 1.02;
/** Weight of the last second in the rate of the drain. */
const halfLifeMs = 1_000;

/** Makes a limit that begins in the middle, by logarithm, between what it may be. */
export function createHeldLimit(options: {
  readonly maxHeldItems: number;
  readonly targetMs: number;
  readonly clock: Clock;
}): HeldLimit {
  const { maxHeldItems, targetMs, clock } = options;
  const least = Math.min(leastLimit, maxHeldItems);
  let limit = Math.round(Math.sqrt(least * maxHeldItems));
  let items = 0;
  let intervalEnds = clock.now() + intervalMs;
  let fastestMs = Number.POSITIVE_INFINITY;
  /** The best of the last while: what the disk takes when nothing is in its way. */
  let bestMs = Number.POSITIVE_INFINITY;
  let mostItems = 0;
  let perMs = 0;
  let given = 0;
  let measuredAt = clock.now();

  function adjust(now: number): void {
    if (now < intervalEnds) return;
    intervalEnds = now + intervalMs;
    if (fastestMs !== Number.POSITIVE_INFINITY) {
      bestMs = Math.min(bestMs * forgetting, fastestMs);
      if (fastestMs > Math.max(targetMs, late * bestMs)) limit = Math.max(least, Math.floor(limit * shrink));
      else if (mostItems > limit / 2) limit = Math.min(maxHeldItems, Math.ceil(limit * growth));
    }
    fastestMs = Number.POSITIVE_INFINITY;
    mostItems = items;
    const passed = now - measuredAt;
    const weight = 1 - 2 ** (-passed / halfLifeMs);
    perMs += weight * (given / passed - perMs);
    given = 0;
    measuredAt = now;
  }

  return {
    get items() {
      return items;
    },
    get limit() {
      return limit;
    },
    take(count) {
      items += count;
      if (items > mostItems) mostItems = items;
      return clock.now();
    },
    give(count, takenAt) {
      items -= count;
      given += count;
      const now = clock.now();
      if (now - takenAt < fastestMs) fastestMs = now - takenAt;
      adjust(now);
    },
    drainMs(count) {
      const ms = perMs === 0 ? 1_000 : count / perMs;
      return Math.min(30_000, Math.max(100, ms));
    },
  };
}
