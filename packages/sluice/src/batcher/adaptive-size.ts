/** Adaptive batch size: `maxItems` follows what comes, by a PID controller or by the rate of arrivals. */

import { invalidOption } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';

/** What a controller is told of each batch when it is cut. */
export interface CutFacts {
  readonly items: number;
  /** The bound that it was cut under. */
  readonly maxItems: number;
  /** When, in monotonic milliseconds. */
  readonly now: number;
}

/** Decides how many items a batch may have. It keeps state: one for each batcher. */
export interface AdaptiveItems {
  /** The bound for the batches to come. */
  next(cut: CutFacts): number;
  /** The gains have been lowered so many times because the bound swung to and fro. */
  readonly damped: number;
}

/** Options of {@link pidItems}. */
export interface PidItemsOptions {
  /** Smallest bound, 1 or more: below it each batch would be full, which looks like demand. Default 10. */
  readonly min?: number;
  /** Largest bound. Default 10,000. */
  readonly max?: number;
  /** How full batches shall be, above 0 and below 1. Default 0.8. */
  readonly setpoint?: number;
  /** Proportional gain: by how much of itself the bound changes, for each whole of the error. Default 0.5. */
  readonly kp?: number;
  /** Integral gain, per second. Default 0: proportional alone is usually enough. */
  readonly ki?: number;
  /** Derivative gain, in seconds. Default 0. */
  readonly kd?: number;
  /** Weight of the newest batch in the rolling mean, above 0 and at most 1. Default 0.3. */
  readonly smoothing?: number;
  /** Told when the bound swings to and fro and the gains are lowered, to this share of what was given. Default: nobody is told. */
  readonly onOscillation?: (gain: number) => void;
}

/**
 * Keeps batches `setpoint` full: u = rolling mean of the items ÷ bound; fuller batches raise the bound, emptier ones lower it, so that
 * it settles at (arrivals in a window) ÷ setpoint. The change is `kp·e + ki·∫e dt + kd·de/dt` of the bound, e = u − setpoint, with
 * the real time between batches: they come at uneven intervals, earlier when they are full.
 *
 * At `min` or `max` the integral stands still while it would push further (anti-windup). The bound is kept as a fraction and rounded
 * only for use, else small changes would be lost. When the bound turns back and forth more than half of the time, by more than a
 * twentieth, the gains are lowered by a third.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function pidItems(options: PidItemsOptions = {}): AdaptiveItems {
  const { min, max, setpoint, kp, ki, kd, smoothing } = pidSettings(options);
  let bound = Number.NaN;
  let mean = Number.NaN;
  let integral = 0;
  let before = { error: 0, at: Number.NaN };
  let gain = 1;
  let damped = 0;
  const swings = createSwings();

  return {
    get damped() {
      return damped;
    },
    next({ items, maxItems, now }) {
      if (Number.isNaN(bound)) bound = Math.min(max, Math.max(min, maxItems));
      mean = Number.isNaN(mean) ? items : mean + smoothing * (items - mean);
      const error = mean / bound - setpoint;
      const seconds = Number.isNaN(before.at) ? 0 : Math.max(0, now - before.at) / 1000;
      const slope = seconds === 0 ? 0 : (error - before.error) / seconds;
      const change = gain * (kp * error + ki * (integral + error * seconds) + kd * slope);
      const wanted = bound * (1 + change);
      // Only where it does not push further into a bound.
      if ((wanted <= max || error < 0) && (wanted >= min || error > 0)) integral += error * seconds;
      before = { error, at: now };
      const next = Math.min(max, Math.max(min, wanted));
      if (swings.turn((next - bound) / bound)) {
        gain *= 2 / 3;
        damped++;
        options.onOscillation?.(gain);
      }
      bound = next;
      return Math.round(bound);
    },
  };
}

/** The classic gains of Ziegler and Nichols (1942), from the gain at which it just swings (`ku`) and the period of that, in seconds. */
export function zieglerNichols(ku: number, tuSeconds: number): { readonly kp: number; readonly ki: number; readonly kd: number } {
  return { kp: 0.6 * ku, ki: (1.2 * ku) / tuSeconds, kd: 0.075 * ku * tuSeconds };
}

/** Options of {@link fillRateItems}. */
export interface FillRateItemsOptions {
  /** The window that items are collected for, in milliseconds, above 0. */
  readonly delayMs: number;
  /** How full a batch shall be when its window ends, above 0 and at most 1. Default 0.8. */
  readonly setpoint?: number;
  /** Smallest bound, 1 or more. Default 10. */
  readonly min?: number;
  /** Largest bound. Default 10,000. */
  readonly max?: number;
  /** Weight of the newest batch in the rolling rate, above 0 and at most 1. Default 0.3. */
  readonly smoothing?: number;
}

/**
 * Sets the bound to what arrives in a window, ÷ `setpoint`: the rolling rate of arrivals × `delayMs`. No loop is closed, so nothing
 * can swing.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function fillRateItems(options: FillRateItemsOptions): AdaptiveItems {
  checkNames('fillRateItems', options, ['delayMs', 'setpoint', 'min', 'max', 'smoothing']);
  const delayMs = share('fillRateItems.delayMs', options.delayMs, Number.NaN, Number.POSITIVE_INFINITY);
  const setpoint = share('fillRateItems.setpoint', options.setpoint, 0.8, 1);
  const smoothing = share('fillRateItems.smoothing', options.smoothing, 0.3, 1);
  const { min, max } = limits('fillRateItems', options);
  let rate = Number.NaN;
  let before = Number.NaN;
  return {
    damped: 0,
    next({ items, maxItems, now }) {
      const ms = now - before;
      before = now;
      // Of the first batch nobody knows how long it took to collect.
      if (!(ms > 0)) return maxItems;
      const latest = items / ms;
      rate = Number.isNaN(rate) ? latest : rate + smoothing * (latest - rate);
      return Math.round(Math.min(max, Math.max(min, (rate * delayMs) / setpoint)));
    },
  };
}

/** Watches whether changes turn back and forth. */
function createSwings() {
  const seen = 20;
  let turns: boolean[] = [];
  let last = 0;
  return {
    /** One more relative change; true when it has swung too often of late. */
    turn(change: number): boolean {
      turns.push(Math.sign(change) * Math.sign(last) < 0 && Math.abs(change - last) > 0.05);
      last = change;
      if (turns.length > seen) turns.shift();
      if (turns.length < seen || turns.filter(Boolean).length <= seen / 2) return false;
      turns = [];
      return true;
    },
  };
}

function pidSettings(options: PidItemsOptions) {
  checkNames('pidItems', options, ['min', 'max', 'setpoint', 'kp', 'ki', 'kd', 'smoothing', 'onOscillation']);
  return {
    ...limits('pidItems', options),
    setpoint: share('pidItems.setpoint', options.setpoint, 0.8, 1),
    kp: numberOption('pidItems.kp', options.kp, 0.5, { least: 0 }),
    ki: numberOption('pidItems.ki', options.ki, 0, { least: 0 }),
    kd: numberOption('pidItems.kd', options.kd, 0, { least: 0 }),
    smoothing: share('pidItems.smoothing', options.smoothing, 0.3, 1),
  };
}

function limits(where: string, options: { readonly min?: number; readonly max?: number }) {
  const min = numberOption(`${where}.min`, options.min, 10, { least: 1, whole: true });
  const max = numberOption(`${where}.max`, options.max, 10_000, { least: 1, whole: true });
  if (min > max) throw invalidOption(`${where}.min (${min}) must not exceed max (${max})`);
  return { min, max };
}

function share(name: string, value: number | undefined, fallback: number, most: number): number {
  const given = value ?? fallback;
  if (given > 0 && given <= most) return given;
  throw invalidOption(
    `${name} must be a number above 0${Number.isFinite(most) ? `, ${most} at most` : ''}; got ${String(given)}`,
  );
}
