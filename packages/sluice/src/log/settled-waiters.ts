/** Settled waiters: those who wait until a record of a stream is settled by a group, whichever consumer reads it. */

import { failure, type SluiceError } from '../core/errors.js';
import { onAbort } from '../engine/signals.js';

/** How a record ended: taken by the sink, or parked as a dead letter. */
export type SettledHow = 'ok' | 'dead';

/** Who waits for which record. */
export interface SettledWaiters {
  readonly count: number;
  /** Resolves once it is told. Rejects with `CANCELLED` on `signal`. */
  wait(partition: number, offset: number, signal: AbortSignal): Promise<SettledHow>;
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
    wait: (partition, offset, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(cancelled(signal));
        const offsets = getOrMake(waiting, partition, () => new Map());
        const told = getOrMake(offsets, offset, () => new Set());
        const stopListening = onAbort(signal, () => {
          count--;
          told.delete(tell);
          if (told.size === 0) offsets.delete(offset);
          reject(cancelled(signal));
        });
        const tell = (how: SettledHow) => {
          stopListening();
          resolve(how);
        };
        count++;
        told.add(tell);
      }),
    tell(partition, offset, how) {
      const offsets = waiting.get(partition);
      const told = offsets?.get(offset);
      if (told === undefined) return;
      offsets!.delete(offset);
      count -= told.size;
      for (const tell of told) tell(how);
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
