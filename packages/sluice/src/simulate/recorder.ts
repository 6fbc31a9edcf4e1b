/** Recorder: turns what happens in a simulation into its report. */

import type { CutReason, Item } from '../core/batch.js';
import type { Layer, Sink } from '../core/dispatcher.js';
import type { SluiceEvent } from '../core/event.js';
import type { Outcome } from '../core/outcome.js';
import type { Tally } from '../core/tally.js';
import type { DrainReport } from '../engine/engine.js';
import type { Clock } from '../env/env.js';
import { Histogram } from './histogram.js';
import type { SimulatedItem } from './item.js';
import type { SimulatedCall, SimulatedDispatch, SimulatedSettlement, SimulationReport, TallySample } from './report.js';
import type { Violation } from './watch.js';

/** How much a report holds: figures only, every batch and call too, or every item too. */
export type Recorded = 'figures' | 'batches' | 'items';

/** Sees everything that a report tells. */
export interface Recorder {
  readonly layer: Layer<SimulatedItem, void>;
  sink(inner: Sink<SimulatedItem>): Sink<SimulatedItem>;
  observe(event: SluiceEvent): void;
  /** How often the batcher has done more than to add an item to an open batch. */
  stirs(): number;
  /** Calls of the sink that run now, abandoned ones too. */
  running(): number;
  sample(tally: Tally & { readonly heldBytes: number }): void;
  report(end: {
    readonly seed: number;
    readonly tally: Tally;
    readonly drain: DrainReport;
    readonly violations: readonly Violation[];
  }): SimulationReport;
}

/** Records what happens on `clock`. */
export function recorder(clock: Clock, record: Recorded): Recorder {
  const waits = new Histogram();
  const latencies = new Histogram();
  const streams = new Map<string, Histogram>();
  const durations = new Histogram();
  const samples: TallySample[] = [];
  const dispatches: SimulatedDispatch[] = [];
  const sinkCalls: SimulatedCall[] = [];
  const settlements: SimulatedSettlement[] = [];
  const reasons: { [R in CutReason]?: number } = {};
  const counts = {
    batches: 0,
    items: 0,
    maxItems: 0,
    calls: 0,
    failedCalls: 0,
    running: 0,
    mostAtOnce: 0,
    retries: 0,
    abandoned: 0,
  };

  let stirs = 0;

  const settled = (items: readonly Item<SimulatedItem>[], outcomes: readonly Outcome<void>[]) => {
    const now = clock.now();
    for (let i = 0; i < items.length; i++) {
      const { n, stream, atMs } = items[i]!.value;
      latencies.add(now - atMs);
      let ofStream = streams.get(stream);
      if (ofStream === undefined) {
        ofStream = new Histogram();
        streams.set(stream, ofStream);
      }
      ofStream.add(now - atMs);
      const end = outcomes[i]?.kind ?? 'failed';
      if (record === 'items') settlements.push({ n, stream, arrivedMs: atMs, settledMs: now, end });
    }
  };

  return {
    layer: (inner) => ({
      ready(lane) {
        stirs++;
        return inner.ready(lane);
      },
      async dispatch(batch, context) {
        stirs++;
        const now = clock.now();
        for (const { value } of batch.items) waits.add(now - value.atMs);
        const outcomes = await inner.dispatch(batch, context);
        settled(batch.items, outcomes);
        return outcomes;
      },
    }),
    sink: (inner) => ({
      ...inner,
      async write(items, context) {
        const atMs = clock.now();
        counts.mostAtOnce = Math.max(counts.mostAtOnce, ++counts.running);
        let ok = true;
        try {
          return await inner.write(items, context);
        } catch (thrown) {
          ok = false;
          throw thrown;
        } finally {
          const durationMs = clock.now() - atMs;
          counts.running--;
          counts.calls++;
          if (!ok) counts.failedCalls++;
          durations.add(durationMs);
          if (record !== 'figures') sinkCalls.push({ atMs, items: items.length, attempt: context.attempt, durationMs, ok });
        }
      },
    }),
    stirs: () => stirs,
    running: () => counts.running,
    observe(event) {
      stirs++;
      if (event.type === 'cut') {
        const { lane, items, bytes, reason, waitMs } = event;
        counts.batches++;
        counts.items += items;
        counts.maxItems = Math.max(counts.maxItems, items);
        reasons[reason] = (reasons[reason] ?? 0) + 1;
        if (record !== 'figures') dispatches.push({ atMs: clock.now(), lane, items, bytes, reason, waitMs });
      } else if (event.type === 'retry') counts.retries++;
      else if (event.type === 'abandoned') counts.abandoned++;
    },
    sample: (tally) => samples.push({ atMs: clock.now(), ...tally }),
    report({ seed, tally, drain, violations }) {
      const endedMs = clock.now();
      const perSecond = (count: number) => (endedMs === 0 ? 0 : (count * 1000) / endedMs);
      const { batches, items, maxItems, calls, failedCalls, mostAtOnce, retries, abandoned } = counts;
      return {
        seed,
        endedMs,
        tally,
        drain,
        batches: {
          count: batches,
          meanItems: batches === 0 ? 0 : items / batches,
          maxItems,
          perSecond: perSecond(batches),
          reasons,
        },
        calls: { count: calls, failed: failedCalls, perSecond: perSecond(calls), mostAtOnce, durations: durations.spread() },
        waits: waits.spread(),
        latencies: latencies.spread(),
        streams: Object.fromEntries([...streams].map(([stream, histogram]) => [stream, histogram.spread()])),
        retries,
        abandoned,
        samples,
        dispatches,
        sinkCalls,
        settlements,
        violations,
      };
    },
  };
}
