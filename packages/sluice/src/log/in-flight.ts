/** In flight: the marks by which the next start knows what the sink held when the process vanished. */

import type { Cancel, Clock } from '../env/env.js';
import type { Log } from './log.js';
import { maxInFlightRanges, type OffsetRange, type Ownership } from './position.js';
import { mergeRanges, rangesOf } from './ranges.js';

/** The marks of one owner of a partition. */
export interface InFlight {
  /**
   * Marks offsets for the time of one call, before it begins.
   *
   * @returns what to call when it has ended.
   * @throws SluiceError what {@link Log.inFlight} throws: the call must not begin.
   */
  begins(offsets: readonly number[]): Promise<() => void>;
  /** Writes no more: the owner has let go. */
  end(): void;
}

/**
 * How long the marks of a call that has ended may stay, in milliseconds: the next call writes them anew anyhow. One that stays harms nobody, since
 * what is settled is no suspect.
 */
const lingerMs = 100;

/** The marks of an owner: none at first. */
export function createInFlight(log: Log, owner: Ownership, clock: Clock, onRefused: (thrown: unknown) => void): InFlight {
  const calls = new Set<readonly OffsetRange[]>();
  /** Ends the wait for the write that takes the marks of ended calls away; there while it is due, and once the owner has let go. */
  let cancelLater: Cancel | undefined;

  const write = () => {
    cancelLater?.();
    cancelLater = undefined;
    return log.inFlight(owner, capped(mergeRanges([...calls].flat()), maxInFlightRanges));
  };

  const writeLater = () => {
    cancelLater ??= clock.after(lingerMs, () => write().catch(onRefused));
  };

  return {
    async begins(offsets) {
      const ranges = rangesOf(offsets);
      calls.add(ranges);
      try {
        await write();
      } catch (thrown) {
        calls.delete(ranges);
        onRefused(thrown);
        throw thrown;
      }
      return () => {
        if (calls.delete(ranges)) writeLater();
      };
    },
    end() {
      cancelLater?.();
      cancelLater = () => {};
    },
  };
}

/** At most so many ranges: neighbours become one, with what lies between them. A suspect too many runs alone once; one too few might not. */
function capped(ranges: readonly OffsetRange[], most: number): readonly OffsetRange[] {
  let fewer = ranges;
  while (fewer.length > most) {
    const half: OffsetRange[] = [];
    for (let i = 0; i < fewer.length; i += 2) half.push({ first: fewer[i]!.first, last: (fewer[i + 1] ?? fewer[i]!).last });
    fewer = half;
  }
  return fewer;
}
