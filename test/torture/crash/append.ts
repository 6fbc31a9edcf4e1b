/** Appends: several writers, events of two streams, now and then one that is in the log already. */

import type { NewEvent } from '../../../packages/sluice/src/log/record.js';
import { idOf, isGenerated, keyOf, payloadOf, streamOf, tenantOf } from './event.js';
import type { Work } from './program.js';

const writers = 4;
const mostAhead = 3_000;

/** Appends until it is told to stop, beginning with what the life before may or may not have stored. */
export async function appendOn(work: Work, again: readonly string[]): Promise<void> {
  const { draw, life, pause, stop, tell, log } = work;
  let below = 0;
  const recent: string[] = [];
  await append(again);
  await Promise.all(Array.from({ length: writers }, write));

  async function write(): Promise<void> {
    while (!stop.aborted) {
      const ids = Array.from({ length: draw.chance(0.1) ? draw.int(50, 400) : draw.int(1, 30) }, () => idOf(life, below++));
      tell({ is: 'offered', below });
      if (recent.length > 0 && draw.chance(0.3)) ids.push(draw.pick(recent));
      const own = ids.filter((id) => !isGenerated(id));
      if (own.length > 0 && draw.chance(0.2)) ids.push(draw.pick(own));
      await append(ids);
      recent.push(...own.slice(0, 3));
      recent.splice(0, recent.length - 100);
      while (!stop.aborted && (await backlog()) > mostAhead) await pause(5);
    }
  }

  async function append(ids: readonly string[]): Promise<void> {
    await Promise.all(
      (['orders', 'audit'] as const).map(async (stream) => {
        const mine = ids.filter((id) => streamOf(id) === stream);
        const { appended } = await log.append(stream, mine.map(eventOf));
        const events = mine.map((id, i) => ({ ...appended[i]!, id }));
        tell({ is: 'appended', stream, events });
      }),
    );
  }

  /** So that what is found after a restart stays small. */
  async function backlog(): Promise<number> {
    const lags = await Promise.all(['billing', 'search'].map((group) => log.lag(group, 'orders')));
    return Math.max(...lags.flat().map(({ items }) => items));
  }
}

/** The event that an id stands for. */
export function eventOf(id: string): NewEvent {
  return {
    id,
    generated: isGenerated(id),
    key: keyOf(id),
    tenant: tenantOf(id),
    time: null,
    receivedAt: 1_700_000_000_000,
    payload: payloadOf(id),
  };
}
