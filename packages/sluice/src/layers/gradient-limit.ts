/** Gradient limit: the limit of calls at once as a function of their latencies. Pure but for its randomness: it is told everything. */

import type { Random } from '../env/env.js';
import { batchLatency } from './latency.js';

/** Options of {@link gradientLimit}; see `AdaptiveOptions`. */
export interface GradientOptions {
  readonly initialLimit: number;
  readonly minLimit: number;
  readonly maxLimit: number;
  readonly tolerance: number;
}

/** A change of the limit, and the latencies that led to it, of a call with one item. */
export interface LimitChange {
  readonly limit: number;
  readonly latencyMs: number;
  readonly baselineMs: number;
}

/** What a call carries from its beginning to its end: which window's conditions it began under. */
export type Sample = number | undefined;

/** The control loop. */
export interface GradientLimit {
  /** Calls that may run at once now. */
  readonly limit: number;
  /** A call begins; `running` includes it. */
  begin(running: number): Sample;
  /** A call was answered. */
  answered(sample: Sample, items: number, latencyMs: number): void;
  /** A call failed in a way that tells of overload. */
  failed(): void;
}

/** Windows of which the fastest is taken for the latency without load. Two probes fall into them. */
const baselineWindows = 100;
/** Windows from one probe to the next, on average. */
const probeEvery = 50;
/** A change of the limit is taken to a fifth, so that one odd window does little. */
const smoothing = 0.2;
/** Calls a window, at least: fewer say little of their mean. */
const leastCalls = 10;

type Phase = { readonly kind: 'running' } | { readonly kind: 'probing'; readonly limit: number };

/** A control loop that begins at `initialLimit`. `changed` is told when the whole number changes. */
export function gradientLimit(options: GradientOptions, random: Random, changed: (change: LimitChange) => void): GradientLimit {
  const { minLimit, maxLimit, tolerance } = options;
  const latency = batchLatency();
  const past: { readonly items: number; readonly latencyMs: number }[] = [];
  let estimate = options.initialLimit;
  // It begins with a probe: begun too high, it would else take a queue for the latency without load.
  let phase: Phase = probe();
  // Counts the changes of phase: what began in another one tells of another limit.
  let era = 0;
  let untilProbe = nextProbe();
  let calls: { readonly items: number; readonly latencyMs: number }[] = [];
  let failures = 0;
  let mostRunning = 0;

  function probe(): Phase {
    return { kind: 'probing', limit: Math.max(minLimit, Math.floor(Math.sqrt(estimate))) };
  }

  function nextProbe(): number {
    // Spread, so that many processes do not probe one sink together.
    return Math.round(probeEvery * (0.75 + 0.5 * random.next()));
  }

  const limit = () => (phase.kind === 'probing' ? phase.limit : Math.floor(estimate));

  const baseline = () => Math.min(...past.map(({ items, latencyMs }) => latency.ofOneItem(items, latencyMs)));

  const endWindow = () => {
    const before = limit();
    const window = calls.length === 0 ? undefined : meanOf(calls);
    latency.learn(calls);
    if (window !== undefined) past.push(window);
    if (past.length > baselineWindows) past.shift();
    const latencyMs = window === undefined ? Number.NaN : latency.ofOneItem(window.items, window.latencyMs);
    const baselineMs = past.length === 0 ? Number.NaN : baseline();
    if (failures > 0) estimate *= 0.9;
    else if (phase.kind === 'running') estimate = moved(latencyMs, baselineMs);
    estimate = Math.min(maxLimit, Math.max(minLimit, estimate));
    nextPhase();
    calls = [];
    failures = 0;
    mostRunning = 0;
    if (limit() !== before) changed({ limit: limit(), latencyMs, baselineMs });
  };

  const moved = (latencyMs: number, baselineMs: number): number => {
    const gradient = latencyMs > 0 ? Math.min(1, Math.max(0.5, (tolerance * baselineMs) / latencyMs)) : 1;
    const target = estimate * gradient + Math.sqrt(estimate);
    // A limit that is not used says nothing of what the sink can take.
    if (target > estimate && mostRunning < estimate / 2) return estimate;
    return estimate + smoothing * (target - estimate);
  };

  const nextPhase = () => {
    if (phase.kind === 'probing') {
      phase = { kind: 'running' };
      era++;
      untilProbe = nextProbe();
    } else if (--untilProbe <= 0 && Math.floor(estimate) > minLimit) {
      phase = probe();
      era++;
    }
  };

  return {
    get limit() {
      return limit();
    },
    begin(running) {
      mostRunning = Math.max(mostRunning, running);
      // Until the calls of before have ended, more run than a probe allows.
      return running <= limit() ? era : undefined;
    },
    answered(sample, items, latencyMs) {
      if (sample !== era) return;
      calls.push({ items, latencyMs });
      if (calls.length + failures >= Math.max(leastCalls, limit())) endWindow();
    },
    failed() {
      failures++;
      if (calls.length + failures >= Math.max(leastCalls, limit())) endWindow();
    },
  };
}

function meanOf(calls: readonly { readonly items: number; readonly latencyMs: number }[]) {
  const count = calls.length;
  return {
    items: calls.reduce((sum, { items }) => sum + items, 0) / count,
    latencyMs: calls.reduce((sum, { latencyMs }) => sum + latencyMs, 0) / count,
  };
}
