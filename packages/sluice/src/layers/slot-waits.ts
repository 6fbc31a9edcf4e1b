/** Slot waits: how long each lane has been told to wait before its next batch could begin. */

import type { Clock } from '../env/env.js';

/** Measures, from the advice that passes by, how long lanes wait. */
export interface SlotWaits {
  /** Advice for a lane passes by; it is handed on as it is. */
  asked(lane: string, advice: true | Promise<void>): true | Promise<void>;
  /** A batch of a lane begins: how long it had been told to wait, in milliseconds. */
  begun(lane: string): number;
}

/** A lane that asked and then lost its items never begins; so many are remembered, then the oldest is forgotten. */
const maxLanes = 10_000;

/** Slot waits on this clock. */
export function slotWaits(clock: Pick<Clock, 'now'>): SlotWaits {
  const since = new Map<string, number>();
  return {
    asked(lane, advice) {
      if (advice === true || since.has(lane)) return advice;
      if (since.size >= maxLanes) since.delete(since.keys().next().value!);
      since.set(lane, clock.now());
      return advice;
    },
    begun(lane) {
      const askedAt = since.get(lane);
      if (askedAt === undefined) return 0;
      since.delete(lane);
      return clock.now() - askedAt;
    },
  };
}
