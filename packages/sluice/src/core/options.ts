/** Options: unknown names and values out of range are errors that name what was wrong and what to do. */

import type { Env } from '../env/env.js';
import { invalidOption, shorten } from './errors.js';

/**
 * Checks that `options` has no other members than `known`; a misspelt one gets a suggestion. An `env` among them must be one.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function checkNames(where: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw invalidOption(`${where} needs an object of options; got ${shorten(options)}; it takes ${known.join(', ')}`);
  }
  const { env, dispatch } = options as { readonly env?: Partial<Env> | null; readonly dispatch?: unknown };
  // A layer's factory, in the place of the layer, is given the dispatcher that the layer would be.
  if (dispatch) throw invalidOption(`layers must be an array of layers, such as [${where}()]`);
  if (env !== undefined && !env?.clock) throw invalidOption(`env must be an Env; got ${shorten(env)}`);
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const near = known.find((candidate) => isNear(candidate.toLowerCase(), name.toLowerCase(), 2));
    throw invalidOption(
      `${where} has no option ${shorten(name)}${near ? `; did you mean ${near}?` : `; it takes ${known.join(', ')}`}`,
    );
  }
}

/**
 * Checks the options of one call: their names, and that the signal is one.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function checkCall(options: { readonly signal?: AbortSignal }, known: readonly string[]): void {
  checkNames('a call', options, known);
  const { signal } = options;
  if (signal !== undefined && typeof signal?.addEventListener !== 'function')
    throw invalidOption(`signal must be an AbortSignal; got ${shorten(signal)}`);
}

/** A range of numbers that an option accepts. */
export interface Range {
  readonly least: number;
  /** Whole numbers only. `Infinity` stays allowed where `infinite` says so. */
  readonly whole?: boolean;
  readonly infinite?: boolean;
}

/**
 * The value of a numeric option, or its default when it is not given.
 *
 * @throws SluiceError `INVALID_OPTION` when it is not a number in the range.
 */
export function numberOption(where: string, value: number | undefined, fallback: number, range: Range): number {
  if (value === undefined) return fallback;
  const fits =
    value === Number.POSITIVE_INFINITY
      ? range.infinite
      : typeof value === 'number' && value >= range.least && (!range.whole || Number.isInteger(value));
  if (fits) return value;
  const kind = range.whole ? 'a whole number' : 'a number';
  throw invalidOption(
    `${where} must be ${kind}, ${range.least} or more${range.infinite ? ' (Infinity allowed)' : ''}; got ${shorten(value)}`,
  );
}

/** Whether one name becomes the other by so many letters left out, put in or changed: Levenshtein's distance, for short names. */
export function isNear(a: string, b: string, edits: number): boolean {
  if (!a || !b) return a.length + b.length <= edits;
  const [restA, restB] = [a.slice(1), b.slice(1)];
  if (a[0] === b[0]) return isNear(restA, restB, edits);
  return edits > 0 && (isNear(restA, b, edits - 1) || isNear(a, restB, edits - 1) || isNear(restA, restB, edits - 1));
}
