/** Recorder: turns what happens in a simulation into its report. */

import type { CutReason, Item } from '../core/batch.js';
import type { Dispatcher, Sink } from '../core/dispatcher.js';
import type { SluiceEvent } from '../core/event.js';
import type { Outcome } from '../core/outcome.js';
import type { Tally } from '../core/tally.js';
import type { DrainReport } from '../engine/engine.js';
import type { Clock } from '../env/env.js';
import { around } from './around.js';
import { Histogram } from './histogram.js';
import type { Violation } from './invariant.js';
import type { SimulatedItem } from './item.js';
import type { SimulatedCall, SimulatedDispatch, SimulatedSettlement, SimulationReport, TallySample } from './report.js';

/** How much a report holds: figures only, every batch and call too, or every item too. */
export type Recorded = 'figures' | 'batches' | 'items';

/** How a simulation ended. */
export interface SimulationEnd {
  readonly seed: number;
  readonly tally: Tally;
  readonly drain: DrainReport;
  readonly violations: readonly Violation[];
}

/** Sees everything that a report tells. A class: it stands on the hot path of a simulation. */
export class Recorder {
  readonly #clock: Clock;
  readonly #record: Recorded;
  readonly #waits = new Histogram();
  readonly #latencies = new Histogram();
  readonly #streams = new Map<string, Histogram>();
  readonly #durations = new Histogram();
  readonly #samples: TallySample[] = [];
  readonly #dispatches: SimulatedDispatch[] = [];
  readonly #sinkCalls: SimulatedCall[] = [];
  readonly #settlements: SimulatedSettlement[] = [];
  readonly #reasons: { [R in CutReason]?: number } = {};
  readonly #batches = { count: 0, items: 0, maxItems: 0 };
  readonly #calls = { count: 0, failed: 0, running: 0, mostAtOnce: 0 };
  #retries = 0;
  #abandoned = 0;
  #stirs = 0;

  constructor(clock: Clock, record: Recorded) {
    this.#clock = clock;
    this.#record = record;
  }

  /** How often the batcher has done more than to add an item to an open batch. */
  get stirs(): number {
    return this.#stirs;
  }

  /** Calls of the sink that run now, abandoned ones too. */
  get running(): number {
    return this.#calls.running;
  }

  /** The layer that sees every batch that leaves, and what becomes of its items. */
  dispatcher(inner: Dispatcher<SimulatedItem, void>): Dispatcher<SimulatedItem, void> {
    return {
      ready: (lane) => {
        this.#stirs++;
        return inner.ready(lane);
      },
      dispatch: async (batch, context) => {
        this.#stirs++;
        const now = this.#clock.now();
        for (const { value } of batch.items) this.#waits.add(now - value.atMs);
        const outcomes = await inner.dispatch(batch, context);
        this.#settled(batch.items, outcomes);
        return outcomes;
      },
    };
  }

  sink(inner: Sink<SimulatedItem>): Sink<SimulatedItem> {
    return around(inner, async (items, context) => {
      const atMs = this.#clock.now();
      const calls = this.#calls;
      calls.mostAtOnce = Math.max(calls.mostAtOnce, ++calls.running);
      let ok = true;
      try {
        return await inner.write(items, context);
      } catch (thrown) {
        ok = false;
        throw thrown;
      } finally {
        const durationMs = this.#clock.now() - atMs;
        calls.running--;
        calls.count++;
        if (!ok) calls.failed++;
        this.#durations.add(durationMs);
        const { attempt } = context;
        if (this.#record !== 'figures') this.#sinkCalls.push({ atMs, items: items.length, attempt, durationMs, ok });
      }
    });
  }

  observe(event: SluiceEvent): void {
    this.#stirs++;
    if (event.type === 'retry') this.#retries++;
    if (event.type === 'abandoned') this.#abandoned++;
    if (event.type !== 'cut') return;
    const { lane, items, bytes, reason, waitMs } = event;
    const batches = this.#batches;
    batches.count++;
    batches.items += items;
    batches.maxItems = Math.max(batches.maxItems, items);
    this.#reasons[reason] = (this.#reasons[reason] ?? 0) + 1;
    if (this.#record !== 'figures') this.#dispatches.push({ atMs: this.#clock.now(), lane, items, bytes, reason, waitMs });
  }

  sample(tally: Tally & { readonly heldBytes: number }): void {
    this.#samples.push({ atMs: this.#clock.now(), ...tally });
  }

  report(end: SimulationEnd): SimulationReport {
    const endedMs = this.#clock.now();
    const perSecond = (count: number) => (endedMs === 0 ? 0 : (count * 1000) / endedMs);
    const { count, items, maxItems } = this.#batches;
    const { count: calls, failed, mostAtOnce } = this.#calls;
    const meanItems = count === 0 ? 0 : items / count;
    return {
      seed: end.seed,
      endedMs,
      tally: end.tally,
      drain: end.drain,
      batches: { count, meanItems, maxItems, perSecond: perSecond(count), reasons: this.#reasons },
      calls: { count: calls, failed, perSecond: perSecond(calls), mostAtOnce, durations: this.#durations.spread() },
      waits: this.#waits.spread(),
      latencies: this.#latencies.spread(),
      streams: Object.fromEntries([...this.#streams].map(([stream, histogram]) => [stream, histogram.spread()])),
      retries: this.#retries,
      abandoned: this.#abandoned,
      samples: this.#samples,
      dispatches: this.#dispatches,
      sinkCalls: this.#sinkCalls,
      settlements: this.#settlements,
      violations: end.violations,
    };
  }

  #settled(items: readonly Item<SimulatedItem>[], outcomes: readonly Outcome<void>[]): void {
    const now = this.#clock.now();
    for (let i = 0; i < items.length; i++) {
      const { n, stream, atMs } = items[i]!.value;
      this.#latencies.add(now - atMs);
      this.#streamOf(stream).add(now - atMs);
      const end = outcomes[i]?.kind ?? 'failed';
      if (this.#record === 'items') this.#settlements.push({ n, stream, arrivedMs: atMs, settledMs: now, end });
    }
  }

  #streamOf(stream: string): Histogram {
    let histogram = this.#streams.get(stream);
    if (histogram === undefined) {
      histogram = new Histogram();
      this.#streams.set(stream, histogram);
    }
    return histogram;
  }
}
