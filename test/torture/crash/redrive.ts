/** Sends dead letters again, marks them, and purges those that were sent. */

import type { Work } from './program.js';

/** Redrives until it is told to stop. */
export async function redriveOn({ log, draw, pause, stop, tell }: Work): Promise<void> {
  while (!stop.aborted) {
    await pause(draw.int(10, 60));
    const { letters } = await log.letters.page({ filter: { state: 'parked' }, limit: draw.int(1, 30) });
    for (const stream of ['orders', 'audit']) {
      const mine = letters.filter(({ record }) => record.stream === stream);
      if (mine.length === 0) continue;
      // The letter's name serves as the name of its redrive: sent twice, it is stored once.
      const events = mine.map(({ id, group, record }) => ({ ...record, redrive: { id, group } }));
      const { appended } = await log.append(stream, events);
      tell({
        is: 'appended',
        stream,
        events: appended.map((place, i) => ({ ...place, id: mine[i]!.record.id, redrive: mine[i]!.id })),
      });
      await log.letters.markRedriven(
        mine.map(({ id }) => id),
        1_700_000_000_002,
      );
    }
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
