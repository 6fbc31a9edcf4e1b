/** Contract of the store of idempotency keys: who may send an item, and what became of one that was sent already. */

/** What a store says of one key that somebody asked for. */
export type Claim<R> =
  /** Nobody has sent it: it is the asker's now, until they settle it. */
  | { readonly kind: 'new' }
  /** Somebody else has claimed it and has not settled it. */
  | { readonly kind: 'busy' }
  /** It is done, with this value. */
  | { readonly kind: 'done'; readonly value: R };

/** What became of a claimed key: done with a value, or free again because its item failed. */
export type KeySettlement<R> =
  | { readonly key: string; readonly kind: 'done'; readonly value: R }
  | { readonly key: string; readonly kind: 'released' };

/**
 * Remembers idempotency keys. Each member may answer at once or with a promise; a store that answers at once keeps the layer from
 * waiting.
 *
 * A durable store must end claims whose owner has died by a time of its own: nobody else will. Keys are at most once in a call of
 * `claim`.
 */
export interface IdempotencyStore<R = unknown> {
  /** Claims keys, each by itself; one answer per key, in their order. Claiming must be atomic. */
  claim(keys: readonly string[]): readonly Claim<R>[] | Promise<readonly Claim<R>[]>;
  /** Settles keys that the caller has claimed. */
  settle(settlements: readonly KeySettlement<R>[]): void | Promise<void>;
}
