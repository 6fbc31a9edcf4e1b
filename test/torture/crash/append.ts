/** Appends: several writers, events of two streams, now and then one that is in the log already; awaited, several at once, or merely offered. */

import type { NewEvent } from '../../../packages/sluice/src/log/record.js';
import { idOf, isGenerated, keyOf, payloadOf, streamOf, tenantOf } from './event.js';
import type { Work } from './program.js';

const writers = 4;
const mostAhead = 3_000;
const streams = ['orders', 'audit'] as const;

/** Appends until it is told to stop, beginning with what the life before may or may not have stored. */
export async function appendOn(work: Work, again: readonly string[]): Promise<void> {
  const { draw, life, pause, stop, tell, log } = work;
  let below = 0;
  await append(again);
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));

  async function write(writer: number): Promise<void> {
    const recent: string[] = [];
    while (!stop.aborted) {
      const how = draw.pick(['one', 'one', 'several', 'offers'] as const);
      const batches = Array.from({ length: how === 'one' ? 1 : draw.int(2, 5) }, () => fresh(writer));
      if (how === 'offers') await offer(batches);
      else {
        const known = recent.length > 0 && draw.chance(0.3) ? [draw.pick(recent)] : [];
        // Of one turn: they are cut into one group, or into two that follow each other.
        await Promise.all(batches.map((ids) => append([...ids, ...known, ...twice(ids)])));
        recent.push(...batches.flatMap(ownIds).slice(0, 3));
        recent.splice(0, recent.length - 100);
      }
      while (!stop.aborted && (await backlog()) > mostAhead) await pause(5);
    }
  }

  function fresh(writer: number): string[] {
    const ids = Array.from({ length: draw.chance(0.1) ? draw.int(50, 400) : draw.int(1, 30) }, () => idOf(life, below++));
    tell({ is: 'offered', below, writer });
    return ids;
  }

  function twice(ids: readonly string[]): string[] {
    const own = ownIds(ids);
    return own.length > 0 && draw.chance(0.2) ? [draw.pick(own)] : [];
  }

  async function append(ids: readonly string[]): Promise<void> {
    await Promise.all(
      streams.map(async (stream) => {
        const mine = ids.filter((id) => streamOf(id) === stream);
        const { appended } = await log.append(stream, mine.map(eventOf));
        const events = mine.map((id, i) => ({ ...appended[i]!, id }));
        tell({ is: 'appended', stream, events });
      }),
    );
  }

  /** What was merely offered is promised once it is flushed; without that it may be lost, and must still be in order. */
  async function offer(batches: readonly string[][]): Promise<void> {
    const taken: string[] = [];
    for (const ids of batches) {
      for (const stream of streams) {
        const mine = ids.filter((id) => streamOf(id) === stream);
        if (log.offer(stream, mine.map(eventOf)) === 'accepted' && stream === 'orders') taken.push(...mine);
      }
    }
    if (draw.chance(0.5)) {
      await log.flushed();
      tell({ is: 'flushed', ids: taken });
    } else await pause(draw.int(0, 2));
  }

  /** So that what is found after a restart stays small. */
  async function backlog(): Promise<number> {
    const lags = await Promise.all(['billing', 'search'].map((group) => log.lag(group, 'orders')));
    return Math.max(...lags.flat().map(({ items }) => items));
  }
}

function ownIds(ids: readonly string[]): string[] {
  return ids.filter((id) => !isGenerated(id));
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
