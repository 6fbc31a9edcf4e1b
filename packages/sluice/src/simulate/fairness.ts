/** Fairness: a lane that has something to send, and could send it, is not passed over for long. */

/** Counts how much leaves from other lanes while one waits. */
export interface FairnessRule {
  /** An item of the lane is held. */
  held(lane: string): void;
  /** An item of the lane was given up before it was sent. */
  left(lane: string): void;
  /** So many items of the lane were sent. */
  sent(lane: string, items: number): void;
}

/** Reports when more than `most` items of other lanes leave while a lane has something held and nothing of it leaves. */
export function fairnessRule(most: number, report: (what: string) => void): FairnessRule {
  const lanes = new Map<string, { held: number; passedOver: number }>();
  const of = (lane: string) => {
    let seen = lanes.get(lane);
    if (seen === undefined) {
      seen = { held: 0, passedOver: 0 };
      lanes.set(lane, seen);
    }
    return seen;
  };
  if (most === Number.POSITIVE_INFINITY) return { held: () => {}, left: () => {}, sent: () => {} };
  return {
    held(lane) {
      of(lane).held++;
    },
    left(lane) {
      of(lane).held--;
    },
    sent(lane, items) {
      for (const [name, other] of lanes) {
        if (name === lane || other.held <= 0) continue;
        other.passedOver += items;
        if (other.passedOver > most) {
          report(
            `lane ${JSON.stringify(name)} was passed over for ${other.passedOver} items of other lanes; the bound is ${most}`,
          );
          other.passedOver = 0;
        }
      }
      const own = of(lane);
      own.held -= items;
      own.passedOver = 0;
    },
  };
}
