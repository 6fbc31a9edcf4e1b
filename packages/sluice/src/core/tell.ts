/** Tell: an event for an observer, who must not throw, and breaks nothing when it does. */

import type { SluiceEvent } from './event.js';

/** Tells an observer; what it throws is ignored, as `Env.observe` says. */
export function tell(observer: { observe(event: SluiceEvent): void }, event: SluiceEvent): void {
  try {
    observer.observe(event);
  } catch {
    // Whoever watches a batch must not break it.
  }
}
