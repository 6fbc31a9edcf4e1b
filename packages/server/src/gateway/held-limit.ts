/**
 * Held limit: how many items may be on their way into the log. It grows while they get there in time and is used, and shrinks while
 * the mean of an interval is late, by the target and by what is best with few: additive in neither direction, since what the log takes
 * differs by orders of magnitude from disk to disk.
 */

import type { Clock } from 'sluice';

/** The items on their way, and their bound. */
export interface HeldLimit {
  readonly items: number;
  readonly limit: number;
  /** The bound for one tenant that crowds others. */
  readonly crowdLimit: number;
  /** Takes items; answers with the time, for `give`. */
  take(items: number): number;
  give(items: number, takenAt: number): void;
  /**
   * How long so many items are likely to take, in milliseconds, by the rate at which they went while the log had much to do; 100 to 30,000.
   * At most a second until it has had.
   */
  drainMs(items: number): number;
}

const intervalMs = 100;
/** As many as the command `push` sends at once: below it one sender alone would wait for itself. Half of it for one that crowds others. */
const leastLimit = 2_000;
/** A stall of the disk or of the thread, two or three intervals long, must not halve it: what comes after that is in time again. */
const shrink = 0.9;
const growth = 1.1;
/**
 * The same for one tenant that crowds the others, whose delay its queue is. It costs throughput: a commit for few takes nearly as long as one
 * for many. By simulation of a log whose commits take 4 ms and 1 ms for 100 items.
 */
const lateCrowded = 1.5;
const crowdedTarget = 0.15;
const crowdedGrowth = 1.02;
/** So many times the best is late, however slow the disk is by itself. */
const late = 3;
/** A disk that has become slow for good is known as such after some seconds. */
const forgetting = 1.02;
/** Weight of the last second in which something was held, in the rate of the drain. */
const halfLifeMs = 1_000;

/** Makes a limit that begins in the middle, by logarithm, between what it may be. */
export function createHeldLimit(options: {
  readonly maxHeldItems: number;
  readonly targetMs: number;
  /** Whether one tenant wants so much that others wait for it. Default: never. */
  readonly isCrowded?: () => boolean;
  readonly clock: Clock;
}): HeldLimit {
  const { maxHeldItems, targetMs, clock, isCrowded = () => false } = options;
  const least = Math.min(leastLimit, maxHeldItems);
  let limit = Math.round(Math.sqrt(least * maxHeldItems));
  let crowdLimit = least / 2;
  let items = 0;
  let intervalEnds = clock.now() + intervalMs;
  let fastestMs = Number.POSITIVE_INFINITY;
  let sumMs = 0;
  let gives = 0;
  /** The best of the last while: what the disk takes when little is in its way; 0 until that is known. */
  let bestMs = 0;
  let mostItems = 0;
  let perMs = 0;
  /** Few items go slowly because they are few: only when much was held does a low rate say what the log takes. */
  let wasBusy = false;
  let given = 0;
  /** Time in which something was held, since the rate was measured, until `heldSince`. */
  let heldMs = 0;
  let heldSince = clock.now();

  function adjust(now: number): void {
    if (now < intervalEnds) return;
    intervalEnds = now + intervalMs;
    if (fastestMs !== Number.POSITIVE_INFINITY) {
      // Among many it is the queue that is slow: whoever takes that for the disk lets it grow for ever. Fewer than the least there cannot be.
      const isQueue = mostItems > least && limit > least;
      if (isQueue) bestMs = Math.min(bestMs || targetMs / late, fastestMs);
      else bestMs = Math.min(bestMs * forgetting || fastestMs, fastestMs);
      const meanMs = sumMs / gives;
      if (meanMs > Math.max(targetMs, late * bestMs)) limit = Math.max(least, Math.floor(limit * shrink));
      else if (mostItems > limit / 2) limit = Math.min(maxHeldItems, Math.ceil(limit * growth));
      if (meanMs > Math.max(targetMs * crowdedTarget, lateCrowded * bestMs)) crowdLimit = Math.floor(crowdLimit * shrink);
      else if (isCrowded()) crowdLimit = Math.ceil(crowdLimit * crowdedGrowth);
      crowdLimit = Math.min(limit, Math.max(least / 2, crowdLimit));
    }
    measure(mostItems > limit / 2);
    fastestMs = Number.POSITIVE_INFINITY;
    sumMs = 0;
    gives = 0;
    mostItems = items;
  }

  function measure(isBusy: boolean): void {
    // All went in the millisecond in which it came.
    if (heldMs === 0) return;
    const rate = given / heldMs;
    const isFirst = perMs === 0 || (isBusy && !wasBusy);
    if (isFirst || isBusy || rate > perMs) perMs += (isFirst ? 1 : 1 - 2 ** (-heldMs / halfLifeMs)) * (rate - perMs);
    wasBusy ||= isBusy;
    given = 0;
    heldMs = 0;
  }

  return {
    get items() {
      return items;
    },
    get limit() {
      return limit;
    },
    get crowdLimit() {
      return crowdLimit;
    },
    take(count) {
      const now = clock.now();
      if (items === 0) heldSince = now;
      items += count;
      if (items > mostItems) mostItems = items;
      return now;
    },
    give(count, takenAt) {
      items -= count;
      given += count;
      const now = clock.now();
      heldMs += now - heldSince;
      heldSince = now;
      const tookMs = now - takenAt;
      if (tookMs < fastestMs) fastestMs = tookMs;
      sumMs += tookMs;
      gives++;
      adjust(now);
    },
    drainMs(count) {
      const ms = perMs === 0 ? 1_000 : count / perMs;
      return Math.min(wasBusy ? 30_000 : 1_000, Math.max(100, ms));
    },
  };
}
