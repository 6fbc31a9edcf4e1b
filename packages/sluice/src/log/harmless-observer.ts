/** Harmless observer: what an observer throws must fail nothing that a log does. */

import { tell } from '../core/tell.js';
import type { Env } from '../env/env.js';

/** The env of a log, whose observer never throws. */
export function withHarmlessObserver(env: Env): Env {
  const { clock, random } = env;
  return { clock, random, neutral: (fn) => env.neutral(fn), observe: (event) => tell(env, event) };
}
