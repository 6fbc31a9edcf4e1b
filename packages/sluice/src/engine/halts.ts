/** Halts: in strict order, what follows a failure stays held until somebody says that it may go. */

import type { OutcomeCounts } from '../core/event.js';
import type { Outcome } from '../core/outcome.js';
import type { Engine } from './engine.js';
import type { EngineItem } from './item.js';
import type { Lane } from './lane.js';

/** Halts a lane of whose batch an item has failed for good: it sends nothing more until it is resumed. */
export function haltAtFailure<I, R, E extends EngineItem<I>>(
  engine: Engine<I, R, E>,
  lane: Lane<I>,
  counts: OutcomeCounts,
  outcomes: readonly Outcome<R>[],
): void {
  if (counts.failed === 0) return;
  lane.halted = true;
  engine.observe({ type: 'halted', name: engine.name, lane: lane.name, ...firstFailure(outcomes) });
}

/** Goes on in the lanes that halted, or in one of them. What failed is not sent again. */
export function resumeLanes<I, R, E extends EngineItem<I>>({ lanes }: Engine<I, R, E>, name?: string): void {
  for (const lane of [...lanes.all]) {
    if (!lane.halted || (name !== undefined && lane.name !== name)) continue;
    lane.halted = false;
    lanes.look(lane);
    lanes.retire(lane);
  }
}

function firstFailure(outcomes: readonly Outcome<unknown>[]): { readonly code: string; readonly message: string } {
  for (const outcome of outcomes) {
    if (outcome.kind === 'failed') return { code: outcome.failure.code, message: outcome.failure.message };
  }
  return { code: 'FAILED', message: '' };
}
