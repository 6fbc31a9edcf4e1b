/** Set counter: a counter whose count is kept elsewhere takes it over as it is. */

import type { Counter } from 'prom-client';

/** Sets a counter; it must never be given less than before. */
export function setCounter<L extends string>(counter: Counter<L>, labels: Record<L, string>, value: number): void {
  counter.remove(labels);
  counter.inc(labels, value);
}
