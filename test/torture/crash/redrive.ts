/** Sends dead letters again, and purges those that were sent. */

import { redriveLetters } from '../../../packages/sluice/src/log/redrive.js';
import type { Work } from './program.js';

/** Redrives until it is told to stop. */
export async function redriveOn({ log, draw, pause, stop, tell }: Work): Promise<void> {
  const telling: typeof log = Object.create(log, {
    append: {
      async value(...[stream, events]: Parameters<typeof log.append>) {
        const receipt = await log.append(stream, events);
        const places = receipt.appended.map((place, i) => ({ ...place, id: events[i]!.id, redrive: events[i]!.redrive!.id }));
        tell({ is: 'appended', stream, events: places });
        return receipt;
      },
    },
  });
  while (!stop.aborted) {
    await pause(draw.int(10, 60));
    await redriveLetters(telling, { perSecond: Number.POSITIVE_INFINITY, limit: draw.int(1, 40), batchItems: 10, signal: stop })
      .done;
    if (draw.chance(0.5)) await purge();
  }

  async function purge(): Promise<void> {
    const { letters } = await log.letters.page({ filter: { state: 'redriven' }, limit: 100 });
    const ids = letters.map(({ id }) => id);
    if (ids.length === 0) return;
    tell({ is: 'purging', letters: ids });
    await log.letters.purge({ ids });
  }
}
