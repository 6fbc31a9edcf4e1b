/** Retention: up to which offset a partition may be removed, and when that is looked at. Pure but for the timer. */

import type { Clock } from '../env/env.js';
import { isUnbounded, type StreamSettings } from './stream-options.js';

/** What retention must know of a partition. */
export interface Removable {
  readonly settings: StreamSettings['retention'];
  /** The least cursor of its groups; `undefined` when it has none. */
  readonly leastCursor: number | undefined;
  readonly nextOffset: number;
  /** Bytes of all its records. */
  readonly bytes: number;
}

/** A piece of a partition, the oldest first: a chunk, or one record. */
export interface Piece {
  /** The first offset behind it. */
  readonly end: number;
  readonly bytes: number;
  /** When it was appended, in epoch milliseconds. */
  readonly at: number;
}

/**
 * The first offset that must stay, going through the pieces from the oldest on: whole pieces go, none beyond `maxPieces`.
 *
 * @returns that offset, and the bytes that go.
 */
export function removalEnd(
  partition: Removable,
  pieces: Iterable<Piece>,
  firstOffset: number,
  now: number,
  maxPieces = Number.POSITIVE_INFINITY,
): { readonly end: number; readonly bytes: number; readonly pieces: number } {
  const { settings, leastCursor } = partition;
  const bounded = !isUnbounded(settings);
  const held = leastCursor ?? (bounded ? partition.nextOffset : firstOffset);
  const upTo = settings.policy === 'expire' ? partition.nextOffset : held;
  let end = firstOffset;
  let bytes = 0;
  let count = 0;
  if (upTo <= firstOffset) return { end, bytes, pieces: count };
  for (const piece of pieces) {
    if (count >= maxPieces || piece.end > upTo) break;
    if (bounded && now - piece.at < settings.maxAgeMs && partition.bytes - bytes <= settings.maxBytes) break;
    end = piece.end;
    bytes += piece.bytes;
    count++;
  }
  return { end, bytes, pieces: count };
}

/** How often ages are looked at, in milliseconds. */
export const retainEveryMs = 60_000;

/** A timer that runs only while something can grow old. */
export interface RetentionTimer {
  /** Starts it, when it does not run. */
  start(): void;
  stop(): void;
}

/** A timer that calls `retain` each minute, until that answers false: nothing is left that could grow old. */
export function createRetentionTimer(clock: Clock, retain: () => Promise<boolean>): RetentionTimer {
  let cancel: (() => void) | undefined;
  let stopped = false;
  const start = () => {
    if (stopped || cancel !== undefined) return;
    cancel = clock.after(retainEveryMs, async () => {
      // What fails now is tried with the next run: the log says by itself when it has stopped.
      const goesOn = await retain().catch(() => true);
      cancel = undefined;
      if (goesOn) start();
    });
  };
  return {
    start,
    stop() {
      stopped = true;
      cancel?.();
    },
  };
}
