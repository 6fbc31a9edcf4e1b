/** Idempotency keys in memory: bounded by count and age, gone with the process. */

import type { Claim, IdempotencyStore } from '../core/idempotency-store.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';

/** Options of {@link memoryIdempotencyStore}. */
export interface MemoryIdempotencyStoreOptions {
  /** Keys of items that are done, 1 or more; beyond it the oldest is forgotten. Default 100,000. */
  readonly maxKeys?: number;
  /** How long a key is remembered after its item was done, in milliseconds, 1 or more. Default 3,600,000 (an hour). */
  readonly ttlMs?: number;
  /** Where the time comes from. Default: the system's. */
  readonly env?: Pick<Env, 'clock'>;
}

/** Idempotency keys in memory. */
export interface MemoryIdempotencyStore<R> extends IdempotencyStore<R> {
  claim(keys: readonly string[]): readonly Claim<R>[];
  /** Keys remembered and claimed now; forgotten so far for want of room, and for age. */
  stats(): { readonly keys: number; readonly claimed: number; readonly evicted: number; readonly expired: number };
}

/**
 * A store of idempotency keys in memory. A duplicate that comes after its key was forgotten is sent again: choose `maxKeys` and `ttlMs`
 * by how late callers try again. Claims are never forgotten; there are as many as items in flight. It answers at once and runs no timer.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function memoryIdempotencyStore<R = unknown>(options: MemoryIdempotencyStoreOptions = {}): MemoryIdempotencyStore<R> {
  checkNames('memoryIdempotencyStore', options, ['maxKeys', 'ttlMs', 'env']);
  const at = (name: string) => `memoryIdempotencyStore.${name}`;
  const maxKeys = numberOption(at('maxKeys'), options.maxKeys, 100_000, { least: 1, whole: true, infinite: true });
  const ttlMs = numberOption(at('ttlMs'), options.ttlMs, 3_600_000, { least: 1, infinite: true });
  const { clock } = options.env ?? systemEnv();
  const claimed = new Set<string>();
  // In the order in which they were done, which is that of their age.
  const done = new Map<string, { readonly value: R; readonly doneAt: number }>();
  let evicted = 0;
  let expired = 0;

  const expire = () => {
    const now = clock.now();
    for (const [key, { doneAt }] of done) {
      if (now - doneAt < ttlMs) return;
      done.delete(key);
      expired++;
    }
  };

  const claimOne = (key: string): Claim<R> => {
    const known = done.get(key);
    if (known !== undefined) return { kind: 'done', value: known.value };
    if (claimed.has(key)) return { kind: 'busy' };
    claimed.add(key);
    return { kind: 'new' };
  };

  return {
    claim(keys) {
      expire();
      return keys.map(claimOne);
    },
    settle(settlements) {
      const doneAt = clock.now();
      for (const settlement of settlements) {
        const { key } = settlement;
        if (!claimed.delete(key) || settlement.kind === 'released') continue;
        done.set(key, { value: settlement.value, doneAt });
        if (done.size <= maxKeys) continue;
        for (const oldest of done.keys()) {
          done.delete(oldest);
          break;
        }
        evicted++;
      }
    },
    stats() {
      expire();
      return { keys: done.size, claimed: claimed.size, evicted, expired };
    },
  };
}
