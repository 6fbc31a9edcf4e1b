/** Windows: when is a batch due? One small strategy each; all combine with `maxItems` and `maxBytes`, which cut at once. */

import type { CutReason } from './batch.js';
import { invalidOption, shorten } from './errors.js';

/**
 * When a batch is due.
 *
 * - `{ maxDelayMs }`: that long after its first item was accepted, never extended by later ones. Half-open: an arrival exactly
 *   then belongs to the next batch. 0 to any number.
 * - `{ throttleMs }`: at once when idle, so that the first item leaves alone and in the same turn; then not again until
 *   `throttleMs` after the last dispatch *started*, however long that takes. Full batches wait for it too; only a flush does not.
 *   0: each item at once, alone, without a timer.
 * - `{ quietMs, maxDelayMs }`: when nothing has arrived for `quietMs`, but `maxDelayMs` after the first item at the latest.
 * - `{ everyMs }`: at the next multiple of `everyMs` since the start (a ticker). Wakes only when there is something to send.
 *   Beware: its first batch after a size cut is small; `maxDelayMs` is the better default.
 * - `'tick'`: when this turn of the event loop and its promise jobs are done.
 * - `'whileBusy'`: at once when the dispatcher is free; while it is busy, collect (group commit).
 */
export type Window =
  | { readonly maxDelayMs: number }
  | { readonly throttleMs: number }
  | { readonly quietMs: number; readonly maxDelayMs: number }
  | { readonly everyMs: number }
  | 'tick'
  | 'whileBusy';

/** The times that a window goes by, in monotonic milliseconds. */
export interface Times {
  /** When the first item of the batch was accepted. */
  readonly firstAt: number;
  /** When the last item was accepted. */
  readonly lastAt: number;
  /** When the last batch was dispatched; `-Infinity` before the first. */
  readonly dispatchedAt: number;
}

/** A window as the accumulator uses it. Pure: time is an argument. */
export interface WindowRule {
  /** Why a batch that no bound stopped was cut. */
  reason(times: Times): CutReason;
  /** When a batch is due, in monotonic milliseconds. */
  dueAt(times: Times): number;
  /** Due at the end of the turn rather than at a time. */
  readonly atTurnEnd: boolean;
  /** A full batch waits for its time as well: the time between two dispatches is a promise to the other side. */
  readonly spaced: boolean;
  /** Each arrival moves the time. */
  readonly extends: boolean;
  /** Items leave one by one, whatever `maxItems` says. */
  readonly alone: boolean;
}

/**
 * The rule of a window.
 *
 * @param startedAt where the ticks of `{ everyMs }` are counted from.
 * @throws SluiceError `INVALID_OPTION` when it is none of the windows, or its time is not a number of milliseconds.
 */
export function windowRule(window: Window, startedAt: number): WindowRule {
  if (window === 'tick') return { ...simple('tick', ({ firstAt }) => firstAt), atTurnEnd: true };
  if (window === 'whileBusy') return simple('busy', ({ firstAt }) => firstAt);
  const names = typeof window === 'object' && window !== null ? Object.keys(window).sort().join() : '';
  const times = window as { readonly [name: string]: unknown };
  if (names === 'maxDelayMs') {
    const delayMs = milliseconds('window.maxDelayMs', times.maxDelayMs, 0);
    return simple('time', ({ firstAt }) => firstAt + delayMs);
  }
  if (names === 'throttleMs') return throttle(milliseconds('window.throttleMs', times.throttleMs, 0));
  if (names === 'maxDelayMs,quietMs') {
    return quiet(milliseconds('window.quietMs', times.quietMs, 0), milliseconds('window.maxDelayMs', times.maxDelayMs, 0));
  }
  if (names === 'everyMs') {
    const everyMs = milliseconds('window.everyMs', times.everyMs, 1);
    // Half-open: what arrives exactly on a tick waits for the next one.
    return simple('time', ({ firstAt }) => startedAt + (Math.floor((firstAt - startedAt) / everyMs) + 1) * everyMs);
  }
  throw invalidOption(
    `window must be { maxDelayMs }, { throttleMs }, { quietMs, maxDelayMs }, { everyMs }, 'tick' or 'whileBusy'; got ${describe(window)}`,
  );
}

function simple(reason: CutReason, dueAt: (times: Times) => number): WindowRule {
  return { reason: () => reason, dueAt, atTurnEnd: false, spaced: false, extends: false, alone: false };
}

/** LeetCode 2756: the cooldown runs from dispatch to dispatch, and an item that finds it over leaves at once. */
function throttle(throttleMs: number): WindowRule {
  return {
    ...simple('throttle', ({ dispatchedAt }) => dispatchedAt + throttleMs),
    spaced: throttleMs > 0,
    alone: throttleMs === 0,
  };
}

function quiet(quietMs: number, maxDelayMs: number): WindowRule {
  if (quietMs > maxDelayMs) {
    throw invalidOption(`window.quietMs must not exceed window.maxDelayMs (${maxDelayMs}), its cap; got ${quietMs}`);
  }
  return {
    ...simple('quiet', ({ firstAt, lastAt }) => Math.min(lastAt + quietMs, firstAt + maxDelayMs)),
    extends: true,
    reason: ({ firstAt, lastAt }) => (firstAt + maxDelayMs < lastAt + quietMs ? 'time' : 'quiet'),
  };
}

function describe(window: unknown): string {
  if (typeof window !== 'object' || window === null) return shorten(window);
  return `{ ${shorten(Object.keys(window).join(', '))} }`;
}

function milliseconds(name: string, value: unknown, least: number): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= least) return value;
  throw invalidOption(`${name} must be a number of milliseconds, ${least} or more; got ${shorten(value)}`);
}
