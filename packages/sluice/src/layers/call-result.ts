/** What a call says about the sink: whether it answered, whatever it answered of the items. */

import type { SluiceError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';

/**
 * `answered`: some item is done, or was refused for good: the sink works. `failed`: none is, and at least one failed as transient,
 * unknown or blocked. `nothing`: none was tried.
 */
export type CallResult =
  | { readonly kind: 'answered' | 'nothing' }
  | { readonly kind: 'failed'; readonly failure: SluiceError; readonly blocked: boolean };

/** Judges one call by its outcomes: one poison item, or a batch full of them, is an answer, not a failure of the sink. */
export function callResult(outcomes: readonly Outcome<unknown>[]): CallResult {
  let refused = false;
  let problem: SluiceError | undefined;
  let blocked: SluiceError | undefined;
  for (const outcome of outcomes) {
    if (outcome.kind === 'ok') return { kind: 'answered' };
    const { failure } = outcome;
    if (failure.class === 'permanent') refused = true;
    else if (failure.class === 'blocked') blocked ??= failure;
    else if (failure.class !== 'rejected') problem ??= failure;
  }
  const failure = blocked ?? problem;
  if (failure !== undefined) return { kind: 'failed', failure, blocked: blocked !== undefined };
  return { kind: refused ? 'answered' : 'nothing' };
}
