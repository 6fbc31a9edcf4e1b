/** Tally: the balance of every item that was ever offered. It holds at any instant, and it is exported. */

/**
 * The balance, in items:
 * `offered = accepted + rejected + waiting` and `accepted = ok + failed + dead + cancelled + dropped + held + inFlight`.
 */
export interface Tally {
  /** All that was ever offered. */
  readonly offered: number;
  readonly accepted: number;
  /** Refused, and the caller was told. */
  readonly rejected: number;
  /** Waiting for room; not accepted yet. */
  readonly waiting: number;
  readonly ok: number;
  readonly failed: number;
  /** Parked as dead letters. */
  readonly dead: number;
  /** Nobody waited for it any more. */
  readonly cancelled: number;
  /** Unsettled at the drain deadline, or dropped by an overflow policy. */
  readonly dropped: number;
  /** Accepted, not yet dispatched. */
  readonly held: number;
  /** Dispatched, not yet settled; back-off included. */
  readonly inFlight: number;
}

/** The tally as it is counted. */
export type Counts = { -readonly [K in keyof Tally]: Tally[K] };

/** A tally of nothing. */
export function emptyTally(): Counts {
  return {
    offered: 0,
    accepted: 0,
    rejected: 0,
    waiting: 0,
    ok: 0,
    failed: 0,
    dead: 0,
    cancelled: 0,
    dropped: 0,
    held: 0,
    inFlight: 0,
  };
}

/** Adds what another tally counts. */
export function addTally(sum: Counts, more: Tally): void {
  for (const name of Object.keys(more) as (keyof Tally)[]) sum[name] += more[name];
}

/** How far a tally is from its balance: 0, always; anything else is a bug of ours. */
export function tallyImbalance(tally: Tally): number {
  const offered = tally.offered - (tally.accepted + tally.rejected + tally.waiting);
  const { ok, failed, dead, cancelled, dropped, held, inFlight } = tally;
  const accepted = tally.accepted - (ok + failed + dead + cancelled + dropped + held + inFlight);
  return Math.abs(offered) + Math.abs(accepted);
}
