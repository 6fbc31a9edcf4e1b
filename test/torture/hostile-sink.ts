/** A sink that does what sinks do on a bad day: slow, failing, hanging, lying, calling back in. */

import { type Clock, failure, type Sink } from 'sluice';
import type { Draw } from './draw.js';

/** How a sink behaves in one schedule. */
export interface Manners {
  readonly atomic: boolean;
  readonly idempotent: boolean;
  readonly fails: boolean;
  readonly hangs: boolean;
  readonly heedsAbort: boolean;
  readonly slow: boolean;
}

/** A sink that answers each item with its number, or worse. `again` calls back into the batcher from within a call. */
export function hostileSink<T extends { readonly n: number }>(
  draw: Draw,
  clock: Clock,
  manners: Manners,
  again: () => void,
): Sink<T, number> {
  let echoes = 5;
  const taken = new Set<number>();
  const answer = (items: readonly T[]): readonly (number | Error)[] => {
    const how = manners.fails ? draw.int(0, 9) : 9;
    // What a sink took that calls itself idempotent it takes again: it does not come to hold it for bad.
    const known = manners.idempotent && items.every((item) => taken.has(item.n));
    const whole = (['transient', known ? 'transient' : 'permanent', 'unknown', 'blocked', 'rejected'] as const)[how];
    if (whole !== undefined) throw failure('the whole batch', { class: whole });
    if (how === 5) {
      for (const { n } of items) taken.add(n);
      return items.slice(1).map((item) => item.n);
    }
    const bad = manners.atomic || how > 7 ? () => false : () => draw.chance(0.3);
    return items.map(({ n }) => {
      if (bad()) return failure('this item', { class: draw.pick(['permanent', 'transient']) });
      taken.add(n);
      return n;
    });
  };
  return {
    atomic: manners.atomic,
    idempotent: manners.idempotent,
    write(items, { signal }) {
      if (echoes > 0 && draw.chance(0.1)) {
        echoes--;
        again();
      }
      // Thrown before there is a promise, as careless sinks do.
      if (manners.fails && draw.chance(0.05)) throw failure('at once', { class: 'transient' });
      const ms =
        manners.hangs && draw.chance(0.3) ? draw.pick([60, 500, Number.POSITIVE_INFINITY]) : manners.slow ? draw.int(0, 30) : 0;
      if (ms === 0)
        return draw.chance(0.5) ? Promise.resolve().then(() => answer(items)) : new Promise((resolve) => resolve(answer(items)));
      return new Promise((resolve, reject) => {
        const end = () => {
          cancel();
          signal.removeEventListener('abort', onAbort);
          try {
            resolve(answer(items));
          } catch (error) {
            reject(error);
          }
        };
        const onAbort = () => {
          cancel();
          reject(failure('aborted', { class: 'unknown' }));
        };
        const cancel = ms === Number.POSITIVE_INFINITY ? () => {} : clock.after(ms, end);
        if (manners.heedsAbort) signal.addEventListener('abort', onAbort, { once: true });
      });
    },
  };
}
