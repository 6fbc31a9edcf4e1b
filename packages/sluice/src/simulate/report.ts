/** Report: what a simulation has seen, as plain data. The same seed and options give the same report, byte for byte. */

import type { CutReason } from '../core/batch.js';
import type { Tally } from '../core/tally.js';
import type { DrainReport } from '../engine/engine.js';
import type { Spread } from './histogram.js';
import type { Violation } from './invariant.js';

/** One batch that was cut. */
export interface SimulatedDispatch {
  readonly atMs: number;
  readonly lane: string;
  readonly items: number;
  readonly bytes: number;
  readonly reason: CutReason;
  /** How long its first item was held. */
  readonly waitMs: number;
}

/** One call of the sink. */
export interface SimulatedCall {
  readonly atMs: number;
  readonly items: number;
  readonly attempt: number;
  readonly durationMs: number;
  readonly ok: boolean;
}

/** What became of one item. */
export interface SimulatedSettlement {
  readonly n: number;
  readonly stream: string;
  readonly arrivedMs: number;
  readonly settledMs: number;
  readonly end: 'ok' | 'failed' | 'dead';
}

/** The balance at one moment. */
export interface TallySample extends Tally {
  readonly atMs: number;
  readonly heldBytes: number;
}

/** What a simulation has seen. Times are virtual milliseconds from its start. */
export interface SimulationReport {
  readonly seed: number;
  /** When everything was settled. */
  readonly endedMs: number;
  /** The final balance. */
  readonly tally: Tally;
  readonly drain: DrainReport;
  readonly batches: {
    readonly count: number;
    readonly meanItems: number;
    readonly maxItems: number;
    readonly perSecond: number;
    readonly reasons: { readonly [R in CutReason]?: number };
  };
  readonly calls: {
    readonly count: number;
    readonly failed: number;
    readonly perSecond: number;
    readonly mostAtOnce: number;
    readonly durations: Spread;
  };
  /** From arrival to dispatch: the window, and the wait for a slot. */
  readonly waits: Spread;
  /** From arrival to settlement, whatever it was. */
  readonly latencies: Spread;
  /** Arrival to settlement by stream, where there are several. */
  readonly streams: { readonly [stream: string]: Spread };
  readonly retries: number;
  readonly abandoned: number;
  /** The tally over time, every `sampleEveryMs`. */
  readonly samples: readonly TallySample[];
  /** Every batch, with `record: 'batches'` or more. */
  readonly dispatches: readonly SimulatedDispatch[];
  /** Every call of the sink, with `record: 'batches'` or more. */
  readonly sinkCalls: readonly SimulatedCall[];
  /** Every item, with `record: 'items'`. */
  readonly settlements: readonly SimulatedSettlement[];
  /** Promises that the engine broke; none, always. */
  readonly violations: readonly Violation[];
}
