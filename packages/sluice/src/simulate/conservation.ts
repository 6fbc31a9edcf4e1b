/** Conservation: what is due, and could go, has gone. No lane waits for what is there already. */

import type { Tally } from '../core/tally.js';

/** What the rule is told of a lane between two turns: its row of the stats, and what the watch has seen of it. */
export interface LaneStanding extends Pick<Tally, 'held' | 'cancelled' | 'dropped'> {
  readonly lane: string;
  /** It must not send, whatever is due: something failed, or as many of its batches as may be are unsettled. */
  readonly stopped: boolean;
  /** When a batch of it last left, in monotonic milliseconds. */
  readonly cutAt: number;
}

/** Watches every lane for work that is left lying. Times are monotonic milliseconds. */
export interface ConservationRule {
  /** Looks between two turns, at the counts of all lanes together and of each. */
  step(all: Pick<Tally, 'accepted' | 'cancelled' | 'dropped'>, lanes: readonly LaneStanding[], now: number): void;
  /** A batch of the lane leaves. */
  sent(lane: string, now: number): void;
}

/**
 * Reports a lane that has something due and could send it at two moments in a row. Two, because a dispatcher may become ready between
 * two steps, and wakes those who wait in its own time at that moment, not before.
 *
 * @param dueAt when what is held since `heldAt` is due at the latest, after a batch that left at `cutAt`.
 * @param isReady the advice of the dispatcher, asked only for lanes that have something due.
 */
export function conservationRule(
  dueAt: (heldAt: number, cutAt: number) => number,
  isReady: (lane: string) => boolean,
  report: (what: string) => void,
): ConservationRule {
  let lanes = new Map<string, Lying>();
  let accepted = 0;
  let leftInAll = 0;

  const look = (standing: LaneStanding, now: number, mayBeNew: boolean): Lying | undefined => {
    const { lane, held, cutAt, stopped } = standing;
    if (held <= 0) return undefined;
    const left = standing.cancelled + standing.dropped;
    const before = lanes.get(lane);
    const lying = before ?? { since: now, left, couldGoAt: undefined };
    // What stays behind came before the cut; and where the oldest has left, the next one may have come in this very turn.
    lying.since = lying.left === left && !mayBeNew ? Math.max(lying.since, cutAt) : now;
    lying.left = left;
    // A billionth of a second: what adding up times leaves behind.
    if (stopped || now <= dueAt(lying.since, cutAt) + 1e-6 || !isReady(lane)) lying.couldGoAt = undefined;
    else if (lying.couldGoAt === undefined) lying.couldGoAt = now;
    else accuse(lane, lying, now);
    return lying;
  };

  const accuse = (lane: string, lying: Lying, now: number) => {
    if (lying.couldGoAt === undefined || now <= lying.couldGoAt + 1e-6) return;
    report(`lane ${JSON.stringify(lane)} could send what was due from ${lying.couldGoAt} ms on, and did not until ${now} ms`);
    lying.couldGoAt = now;
  };

  return {
    step(all, standings, now) {
      // A lane that everybody left is forgotten, and begins anew with the next item, perhaps with the same counts.
      const left = all.cancelled + all.dropped;
      const mayBeNew = left !== leftInAll && all.accepted !== accepted;
      leftInAll = left;
      accepted = all.accepted;
      // Those that are left out have nothing lying.
      const still = new Map<string, Lying>();
      for (const standing of standings) {
        const lying = look(standing, now, mayBeNew);
        if (lying !== undefined) still.set(standing.lane, lying);
      }
      lanes = still;
    },
    sent(lane, now) {
      const lying = lanes.get(lane);
      if (lying === undefined) return;
      accuse(lane, lying, now);
      lying.couldGoAt = undefined;
    },
  };
}

interface Lying {
  /** Since when, at most, its first item is held. */
  since: number;
  /** Items that have left without being sent. */
  left: number;
  /** Since when it has been able to send what is due. */
  couldGoAt: number | undefined;
}
