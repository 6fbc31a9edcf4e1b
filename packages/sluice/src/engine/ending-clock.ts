/** EndingClock: the clock of an engine's layers, whose timers end with the engine. */

import type { Cancel, Clock } from '../env/env.js';

/** A clock, and how to end its timers. */
export interface EndingClock {
  readonly clock: Clock;
  /** Stops every timer that still runs, and starts no more. */
  end(): void;
}

/**
 * Who has asked a rate or a breaker when to come, and has nothing left to send, cannot take the question back: the layer's timer runs on.
 * At the end of a close nobody waits for anything; such a timer would only keep the process alive.
 */
export function endingClock(clock: Clock): EndingClock {
  const running = new Set<Cancel>();
  let ended = false;
  return {
    clock: {
      now: () => clock.now(),
      wall: () => clock.wall(),
      after(ms, fn) {
        if (ended) return () => {};
        const stop = () => {
          running.delete(stop);
          cancel();
        };
        const cancel = clock.after(ms, () => {
          running.delete(stop);
          fn();
        });
        running.add(stop);
        return stop;
      },
      // It has run before anybody could end it.
      afterTurn: (fn) => clock.afterTurn(fn),
    },
    end() {
      ended = true;
      for (const stop of running) stop();
    },
  };
}
