/** Token bucket: how many a second, computed when asked, without a timer. */

/** Tokens that come back with time. */
export interface TokenBucket {
  /** Takes `tokens` and answers 0, or takes none and answers in how many milliseconds they will be there. */
  take(tokens: number): number;
}

/** A bucket that holds `burst` tokens, full at first, and gets `perSecond` a second. Whoever wants more than it holds gets a full one. */
export function tokenBucket(perSecond: number, burst: number, now: () => number): TokenBucket {
  let tokens = burst;
  let filledAt = now();
  return {
    take(wanted) {
      const at = now();
      tokens = Math.min(burst, tokens + ((at - filledAt) * perSecond) / 1000);
      filledAt = at;
      const needed = Math.min(wanted, burst);
      // A billionth: what adding up the refills leaves behind.
      if (tokens >= needed - 1e-9) {
        tokens -= needed;
        return 0;
      }
      return ((needed - tokens) * 1000) / perSecond;
    },
  };
}
