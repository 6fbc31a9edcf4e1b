/** Settled waiters: those who wait until a record of a stream is settled by a group, whichever consumer reads it. */

import { type Settler as Deferred, promiseSettledBy } from '../core/deferred.js';
import { failure, type SluiceError } from '../core/errors.js';
import { onAbort } from '../engine/signals.js';

/** How a record ended: taken by the sink, or parked as a dead letter. */
export type SettledHow = 'ok' | 'dead';

/** Who waits for which record. */
export interface SettledWaiters {
  readonly count: number;
  /** Stands in line until it is told, or leaves. `told` rejects with `CANCELLED` on `signal`. */
  wait(partition: number, offset: number, signal: AbortSignal): { readonly told: Promise<SettledHow>; leave(): void };
  tell(partition: number, offset: number, how: SettledHow): void;
  /** The offsets of a partition that somebody waits for. */
  offsets(partition: number): readonly number[];
}

/** Nobody waits at first. */
export function createSettledWaiters(): SettledWaiters {
  const waiting = new Map<number, Map<number, Set<(how: SettledHow) => void>>>();
  let count = 0;

  return {
    get count() {
      return count;
    },
    wait(partition, offset, signal) {
      const offsets = getOrMake(waiting, partition, () => new Map());
      const others = getOrMake(offsets, offset, () => new Set());
      const waiter: Partial<Deferred<SettledHow>> & { tell(how: SettledHow): void } = {
        resolve: undefined,
        reject: undefined,
        tell(how) {
          stopListening();
          waiter.resolve!(how);
        },
      };
      const told = promiseSettledBy(waiter as Deferred<SettledHow>);
      const leave = () => {
        stopListening();
        if (!others.delete(waiter.tell)) return;
        count--;
        if (others.size === 0 && offsets.get(offset) === others) offsets.delete(offset);
      };
      const stopListening = onAbort(signal, () => {
        leave();
        waiter.reject!(cancelled(signal));
      });
      count++;
      others.add(waiter.tell);
      if (signal.aborted) {
        leave();
        waiter.reject!(cancelled(signal));
      }
      // Whoever looks elsewhere meanwhile may have the answer before this rejects.
      told.catch(() => {});
      return { told, leave };
    },
    tell(partition, offset, how) {
      const offsets = waiting.get(partition);
      const told = offsets?.get(offset);
      if (told === undefined) return;
      offsets!.delete(offset);
      count -= told.size;
      for (const tell of told) {
        told.delete(tell);
        tell(how);
      }
    },
    offsets: (partition) => [...(waiting.get(partition)?.keys() ?? [])],
  };
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key) ?? make();
  map.set(key, known);
  return known;
}

function cancelled(signal: AbortSignal): SluiceError {
  return failure('nobody waits for this record any more.', { code: 'CANCELLED', class: 'rejected', cause: signal.reason });
}
