/** Seen: what a watch has seen so far, and the rules that it keeps of it. */

import { type ConservationRule, conservationRule } from './conservation.js';
import { type FairnessRule, fairnessRule } from './fairness.js';
import type { Violation } from './invariant.js';
import { Marks } from './marks.js';
import { keyOrder, laneOrder, type OrderRule } from './order-rule.js';
import type { Report } from './step-rules.js';
import type { WatchOptions } from './watch.js';
import { latestDueAt } from './window-bound.js';

/** What has been seen of one lane. */
export interface LaneSeen {
  unsettled: number;
  /** When a batch of it was last settled, or the lane resumed. */
  settledAt: number;
  /** When a batch of it last left. */
  cutAt: number;
  /** An item failed for good, and nobody has resumed the lane since; only where lanes halt. */
  halted: boolean;
}

/** What has been seen so far. */
export interface Seen<T> {
  readonly options: WatchOptions<T>;
  readonly violations: Violation[];
  readonly report: Report;
  readonly marks: Marks;
  readonly fairness: FairnessRule;
  readonly conservation: ConservationRule;
  readonly order: OrderRule<T>;
  /** What the sink answered, by item, where it answered anything. */
  readonly values: Map<number, unknown>;
  /** What the sink answered of items that are the same, by what makes them so. */
  readonly taken: Map<unknown, Set<unknown>>;
  readonly lanes: Map<string, LaneSeen>;
  /** The advice of what lies beneath the watch. */
  isReady: (lane: string) => boolean;
  offered: number;
  calls: number;
  /** When the dispatcher last said that it is ready again. */
  freeAt: number;
  /** When a call last ended. */
  callEndedAt: number;
  abandonedEver: boolean;
  /** Who waits may be refused. */
  refuses: boolean;
  /** Left on the signals of calls that are over. */
  listeners: number;
}

/** Enough to see what is wrong; a broken engine would fill the memory. */
const mostViolations = 100;

/** The beginning. */
export function nothingSeen<T>(options: WatchOptions<T>): Seen<T> {
  const violations: Violation[] = [];
  const report: Report = (invariant, what) => {
    if (violations.length < mostViolations) violations.push({ invariant, atMs: options.clock.now(), what });
  };
  const { maxPassedOver = Number.POSITIVE_INFINITY, window, sequenceOf, laneOf = oneLane, orderOf } = options;
  const overtaken = (what: string) => report('order', what);
  const seen: Seen<T> = {
    options,
    violations,
    report,
    marks: new Marks(),
    fairness: fairnessRule(
      maxPassedOver,
      (heldAt) => latestDueAt(window, heldAt, heldAt),
      (what) => report('fairness', what),
    ),
    conservation: conservationRule(
      (heldAt, cutAt) => latestDueAt(window, heldAt, cutAt),
      (lane) => seen.isReady(lane),
      (what) => report('delay', what),
    ),
    order: orderOf === undefined ? laneOrder(sequenceOf, laneOf, overtaken) : keyOrder(sequenceOf, orderOf, overtaken),
    values: new Map(),
    taken: new Map(),
    lanes: new Map(),
    isReady: () => false,
    offered: 0,
    calls: 0,
    freeAt: 0,
    callEndedAt: 0,
    abandonedEver: false,
    refuses: options.refuses ?? false,
    listeners: 0,
  };
  return seen;
}

/** The lane of all, where there is one. */
export function oneLane(): string {
  return '';
}

/** What has been seen of this lane. */
export function laneSeen(seen: Pick<Seen<never>, 'lanes'>, lane: string): LaneSeen {
  let own = seen.lanes.get(lane);
  if (own === undefined) {
    own = { unsettled: 0, settledAt: 0, cutAt: Number.NEGATIVE_INFINITY, halted: false };
    seen.lanes.set(lane, own);
  }
  return own;
}
