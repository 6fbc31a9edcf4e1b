/** Readiness: whether the dispatcher is ready for a lane. Advice that fails is no advice: the dispatch itself will say what is wrong. */

/** Asks the dispatcher, and waits for what it says. */
export interface Readiness {
  /** Whether this lane may start now, or what to wait for before it asks again. */
  of(lane: string): true | Promise<void>;
  /** Calls `again` once what was to be waited for has come or failed. */
  wait(until: Promise<void>, again: () => void): void;
}

/** The readiness of a dispatcher that gives this advice. */
export function readiness(ready: (lane: string) => true | Promise<void>): Readiness {
  let hasFailed = false;
  return {
    of(lane) {
      if (hasFailed) return true;
      try {
        return ready(lane);
      } catch {
        return true;
      }
    },
    wait(until, again) {
      until.then(again, () => {
        // Asked again at once it might fail again, and no turn of the event loop would end.
        hasFailed = true;
        again();
        hasFailed = false;
      });
    },
  };
}
