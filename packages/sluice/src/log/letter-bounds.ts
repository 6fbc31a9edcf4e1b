/** Bounds of dead letters: a full store refuses, and says so before it is full; nothing is dropped. */

import { SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';
import type { DeadLetterBounds } from './dead-letter.js';

/** How many letters there are, and their bytes as stored. */
export interface LetterTotals {
  readonly items: number;
  readonly bytes: number;
}

/** Watches the bounds. */
export interface LetterGuard {
  readonly maxAgeMs: number;
  /**
   * Lets a settlement pass that leaves so many letters.
   *
   * @throws SluiceError `DEAD_LETTERS_FULL` when it would park more than fit.
   */
  admit(before: LetterTotals, after: LetterTotals): void;
  /** Tells of totals that have come near a bound, once. Call it after each change. */
  changed(totals: LetterTotals): void;
}

/**
 * A guard over the bounds.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function createLetterGuard(env: Env, bounds: DeadLetterBounds = {}): LetterGuard {
  checkNames('deadLetters', bounds, ['maxItems', 'maxBytes', 'maxAgeMs']);
  const range = { least: 1, infinite: true };
  const maxItems = numberOption('deadLetters: maxItems', bounds.maxItems, 1_000_000, range);
  const maxBytes = numberOption('deadLetters: maxBytes', bounds.maxBytes, 1 << 30, range);
  const maxAgeMs = numberOption('deadLetters: maxAgeMs', bounds.maxAgeMs, Number.POSITIVE_INFINITY, range);
  let told: 'nothing' | 'near' | 'full' = 'nothing';

  const tell = (state: 'near' | 'full', { items, bytes }: LetterTotals) => {
    if (told === state || told === 'full') return;
    told = state;
    env.observe({ type: 'deadLetters', state, items, bytes, maxItems, maxBytes });
  };

  return {
    maxAgeMs,
    admit(before, after) {
      const grows = after.items > before.items || after.bytes > before.bytes;
      if (!grows || (after.items <= maxItems && after.bytes <= maxBytes)) return;
      tell('full', before);
      throw new SluiceError(
        `the log holds ${before.items} dead letters of ${before.bytes} bytes, and may hold ${maxItems} of ${maxBytes}: redrive or purge some; nothing was moved`,
        { code: 'DEAD_LETTERS_FULL', class: 'rejected' },
      );
    },
    changed(totals) {
      const share = Math.max(totals.items / maxItems, totals.bytes / maxBytes);
      if (share >= 1) tell('full', totals);
      else if (share >= 0.9) tell('near', totals);
      else told = 'nothing';
    },
  };
}
