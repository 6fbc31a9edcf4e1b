/** A sink around another: the same in all but its write. */

import type { Sink } from '../core/dispatcher.js';

/** `inner` with another `write`. Member by member, because a sink may be an object of a class. */
export function around<T, R>(inner: Sink<T, R>, write: Sink<T, R>['write']): Sink<T, R> {
  return {
    ...(inner.idempotent === undefined ? {} : { idempotent: inner.idempotent }),
    ...(inner.atomic === undefined ? {} : { atomic: inner.atomic }),
    ...(inner.close === undefined ? {} : { close: () => inner.close!() }),
    write,
  };
}
