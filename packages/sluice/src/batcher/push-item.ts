/** PushItem: an item whose caller may wait for what becomes of it. */

import type { Settler } from '../core/deferred.js';
import { failure, type SluiceError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';
import { EngineItem } from '../engine/item.js';
import type { Cancel } from '../env/env.js';

/** An item whose caller may wait. A class: there is one for every push. */
export class PushItem<T, R> extends EngineItem<T> implements Settler<unknown> {
  resolve: ((value: unknown) => void) | undefined = undefined;
  reject: ((reason: unknown) => void) | undefined = undefined;
  promise: Promise<unknown> | undefined = undefined;
  /** Stops watching its caller's signal. */
  unwatch: Cancel | undefined = undefined;
  /** Whom it must not overtake, nor be overtaken by. */
  orderKey: string | number | bigint | undefined = undefined;
  // Declared, not defined: most items have none.
  declare idempotencyKey?: string;

  /** Tells its caller what became of it. */
  tell(outcome: Outcome<R>, index: number): void {
    this.unwatch?.();
    if (outcome.kind === 'ok') this.resolve?.(this.answer(outcome.value, index));
    else if (outcome.kind === 'failed') this.fail(outcome.failure);
    else this.fail(failure(outcome.failure, { deadLetterId: outcome.deadLetterId }));
  }

  /** Rejects; only then is the promise marked as looked after, which costs as much as all else of a push. */
  fail(reason: SluiceError): void {
    if (this.promise !== undefined) handled(this.promise);
    this.reject?.(reason);
  }

  protected answer(value: R, _index: number): unknown {
    return value;
  }
}

/** An item whose caller also wants to know where it was written. */
export class AckItem<T, R> extends PushItem<T, R> {
  protected override answer(value: R, index: number): unknown {
    return { value, batchId: this.flight!.batchId, index };
  }
}

/** A caller need not look: a rejection that nobody observes must not end the process. */
export function handled<V>(promise: Promise<V>): Promise<V> {
  promise.catch(() => {});
  return promise;
}
