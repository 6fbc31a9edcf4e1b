/** combineObservers: several observers as one. */

import type { Observer, SluiceEvent } from '../core/event.js';

/**
 * One observer that tells each of these, in order. What one of them throws does not keep the others from hearing.
 *
 * @example
 * const env = systemEnv({ observe: combineObservers(channelObserver(), (event) => log.debug(event)) });
 */
export function combineObservers(...observers: readonly Observer[]): Observer {
  return (event: SluiceEvent) => {
    for (const observer of observers) {
      try {
        observer(event);
      } catch {
        // An observer must not throw; one that does must not silence the others.
      }
    }
  };
}
