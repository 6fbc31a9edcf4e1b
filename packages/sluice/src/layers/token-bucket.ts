/** Token bucket: tokens come in at a rate, up to a burst; how many there are is computed when somebody looks. */

/** A token bucket. Times are in monotonic milliseconds. */
export interface TokenBucket {
  /** Computes what has come in by `now`; a time before the last one changes nothing. */
  refill(now: number): void;
  /** The wait that ends at `now` is over, whatever the clock says: one whole token is there. */
  ripen(now: number): void;
  /** Whether one whole token is there. */
  hasToken(): boolean;
  isFull(): boolean;
  /** Takes so many tokens; what is missing is owed. */
  take(tokens: number): void;
  /** Puts so many in, up to the burst. */
  put(tokens: number): void;
  /** How long after `now`, to which it has been refilled, until one whole token is there, in milliseconds. */
  waitMs(now: number): number;
}

/** Adding up fractions loses some billionths of a token, which must not cost a timer more. */
const almost = 1 - 1e-9;

/** Timers of the platform fire up to so much early, in milliseconds. */
const earliestMs = 2;

/** A token bucket that holds `tokens` at `now`. */
export function tokenBucket(perSecond: number, burst: number, tokens: number, now: number): TokenBucket {
  const perMs = perSecond / 1000;
  let held = tokens;
  let at = now;
  return {
    refill(time) {
      if (time <= at) return;
      held = Math.min(burst, held + (time - at) * perMs);
      at = time;
    },
    ripen(time) {
      held = Math.max(held, 1);
      at = Math.max(at, time);
    },
    hasToken: () => held >= almost,
    isFull: () => held >= burst - 1e-9,
    take: (count) => {
      held -= count;
    },
    put: (count) => {
      held = Math.min(burst, held + count);
    },
    waitMs(time) {
      if (held >= almost) return 0;
      const ahead = at - time;
      // A timer that fired a little early has put the bucket ahead of the clock; further ahead, it is the clock that stands still.
      return (1 - held) / perMs + (ahead > 0 && ahead < earliestMs ? ahead : 0);
    },
  };
}
