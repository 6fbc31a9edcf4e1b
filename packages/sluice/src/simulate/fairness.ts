/** Fairness: a lane that has something to send, and could send it, is not passed over for long. */

/** Counts how much leaves from other lanes while one could go. Times are monotonic milliseconds. */
export interface FairnessRule {
  /** An item of the lane is held. */
  held(lane: string, now: number): void;
  /** An item of the lane was given up before it was sent. */
  left(lane: string): void;
  /** So many items of the lane were sent; `mayGo` says which of the others could have gone instead. */
  sent(lane: string, items: number, now: number, mayGo: (lane: string) => boolean): void;
}

/**
 * Reports when more than `most` items of other lanes leave while a lane could go and nothing of it leaves.
 *
 * @param dueAt when an item that is held since then is due at the latest.
 */
export function fairnessRule(most: number, dueAt: (heldAt: number) => number, report: (what: string) => void): FairnessRule {
  const lanes = new Map<string, LaneWaiting>();
  const of = (lane: string) => {
    let waiting = lanes.get(lane);
    if (waiting === undefined) {
      waiting = { held: 0, since: 0, passedOver: 0 };
      lanes.set(lane, waiting);
    }
    return waiting;
  };
  if (most === Number.POSITIVE_INFINITY) return { held: () => {}, left: () => {}, sent: () => {} };
  return {
    held(lane, now) {
      const waiting = of(lane);
      if (waiting.held++ === 0) waiting.since = now;
    },
    left(lane) {
      of(lane).held--;
    },
    sent(lane, items, now, mayGo) {
      for (const [name, other] of lanes) {
        if (name === lane || other.held <= 0 || now < dueAt(other.since) || !mayGo(name)) continue;
        other.passedOver += items;
        if (other.passedOver <= most) continue;
        report(`lane ${JSON.stringify(name)} was passed over for ${other.passedOver} items of other lanes; the bound is ${most}`);
        other.passedOver = 0;
      }
      const own = of(lane);
      own.held -= items;
      // What is left may be younger than this says: later, never too early, so that the rule accuses nobody wrongly.
      own.since = now;
      own.passedOver = 0;
    },
  };
}

interface LaneWaiting {
  held: number;
  /** Since when at most its first item is held. */
  since: number;
  passedOver: number;
}
