/** Measure: what became of requests, counted, and how long they took, in histograms. */

import { build, type Histogram } from 'hdr-histogram-js';

/** Latencies in milliseconds. */
export interface Latencies {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p99_9: number;
  readonly p99_99: number;
  readonly max: number;
}

/** A histogram of times. */
export interface Times {
  record(ms: number): void;
  latencies(): Latencies;
}

/** Longest time that is told apart, in microseconds: what takes longer is counted as this. */
const longestUs = 1_000_000_000;

/**
 * A histogram up to 1,000 s, in microseconds.
 *
 * @param precision significant digits: 3 are 0.1 % in about 90 KB.
 */
export function createTimes(precision: 1 | 2 | 3 = 3): Times {
  const histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: longestUs,
    numberOfSignificantValueDigits: precision,
    bitBucketSize: 32,
    useWebAssembly: false,
  });
  // A percentile is the upper end of its class, which may lie above the largest value.
  const at = (percentile: number): number => Math.min(histogram.getValueAtPercentile(percentile), histogram.maxValue) / 1_000;
  return {
    record: (ms) => histogram.recordValue(Math.min(longestUs, Math.max(0, Math.round(ms * 1_000)))),
    latencies() {
      const count = histogram.totalCount;
      if (count === 0) return { count, mean: 0, p50: 0, p90: 0, p99: 0, p99_9: 0, p99_99: 0, max: 0 };
      const [p50, p90, p99, p99_9, p99_99] = [50, 90, 99, 99.9, 99.99].map(at) as [number, number, number, number, number];
      const mean = Number((histogram.mean / 1_000).toFixed(3));
      return { count, mean, p50, p90, p99, p99_9, p99_99, max: histogram.maxValue / 1_000 };
    },
  };
}

/** What became of requests of one kind. `requests = answered + lost + notSent`, once none is under way. */
export interface Counts {
  /** Due, inside the measured time. */
  requests: number;
  answered: number;
  /** Answered with 2xx. */
  taken: number;
  /** Answered with anything else. */
  refused: number;
  /** Without an answer. */
  lost: number;
  /** Too many were without an answer already. */
  notSent: number;
  readonly statuses: Map<number, number>;
  /** Refused, by the code of the error. */
  readonly refusedByCode: Map<string, number>;
  readonly lostByCode: Map<string, number>;
}

/** Counts that are all 0. */
export function createCounts(): Counts {
  return {
    ...{ requests: 0, answered: 0, taken: 0, refused: 0, lost: 0, notSent: 0 },
    statuses: new Map(),
    refusedByCode: new Map(),
    lostByCode: new Map(),
  };
}

/** What became of events. */
export interface EventCounts {
  /** In requests that were sent. */
  sent: number;
  accepted: number;
  duplicates: number;
  rejected: number;
  /** Taken, at a lower level than was asked for. */
  belowAck: number;
  /** Taken, and parked as dead letters. */
  dead: number;
  /** Of items, by code. */
  readonly errors: Map<string, number>;
}

/** Counts of events that are all 0. */
export function createEventCounts(): EventCounts {
  return { sent: 0, accepted: 0, duplicates: 0, rejected: 0, belowAck: 0, dead: 0, errors: new Map() };
}

/** One more of these. */
export function countIn<K>(counts: Map<K, number>, name: K): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
