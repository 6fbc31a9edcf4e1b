/** Windows: when is a batch due? One small strategy each; all combine with `maxItems` and `maxBytes`, which cut at once. */

import type { CutReason } from './batch.js';
import { invalidOption, shorten } from './errors.js';

/**
 * When a batch is due.
 *
 * - `{ maxDelayMs }`: that long after its first item was accepted, never extended by later ones. Half-open: an arrival exactly
 *   then belongs to the next batch. 0 to any number.
 * - `{ everyMs }`: at the next multiple of `everyMs` since the start (a ticker). Wakes only when there is something to send.
 *   Beware: its first batch after a size cut is small; `maxDelayMs` is the better default.
 * - `'tick'`: when this turn of the event loop and its promise jobs are done.
 * - `'whileBusy'`: at once when the dispatcher is free; while it is busy, collect (group commit).
 */
export type Window = { readonly maxDelayMs: number } | { readonly everyMs: number } | 'tick' | 'whileBusy';

/** A window as the accumulator uses it. Pure: time is an argument. */
export interface WindowRule {
  readonly reason: CutReason;
  /** When a batch whose first item was accepted at `firstAt` is due, in monotonic milliseconds. */
  dueAt(firstAt: number): number;
  /** Due at the end of the turn rather than at a time. */
  readonly atTurnEnd: boolean;
}

/**
 * The rule of a window.
 *
 * @param startedAt where the ticks of `{ everyMs }` are counted from.
 * @throws SluiceError `INVALID_OPTION` when it is none of the windows, or its time is not a number of milliseconds.
 */
export function windowRule(window: Window, startedAt: number): WindowRule {
  if (window === 'tick') return { reason: 'tick', atTurnEnd: true, dueAt: (firstAt) => firstAt };
  if (window === 'whileBusy') return { reason: 'busy', atTurnEnd: false, dueAt: (firstAt) => firstAt };
  if (typeof window === 'object' && window !== null && Object.keys(window).length === 1) {
    if ('maxDelayMs' in window) {
      const delayMs = milliseconds('window.maxDelayMs', window.maxDelayMs, 0);
      return { reason: 'time', atTurnEnd: false, dueAt: (firstAt) => firstAt + delayMs };
    }
    if ('everyMs' in window) {
      const everyMs = milliseconds('window.everyMs', window.everyMs, 1);
      // Half-open: what arrives exactly on a tick waits for the next one.
      return {
        reason: 'time',
        atTurnEnd: false,
        dueAt: (firstAt) => startedAt + (Math.floor((firstAt - startedAt) / everyMs) + 1) * everyMs,
      };
    }
  }
  throw invalidOption(`window must be { maxDelayMs }, { everyMs }, 'tick' or 'whileBusy'; got ${describe(window)}`);
}

function describe(window: unknown): string {
  if (typeof window !== 'object' || window === null) return shorten(window);
  return `{ ${shorten(Object.keys(window).join(', '))} }`;
}

function milliseconds(name: string, value: unknown, least: number): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= least) return value;
  throw invalidOption(`${name} must be a number of milliseconds, ${least} or more; got ${shorten(value)}`);
}
