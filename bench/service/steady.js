/** Steady load: 50,000 events a second in requests of 10, open loop, and nothing lost. */

import { idle, withService } from '../service-process.js';
import { heading } from '../support.js';
import { eventsRequest } from './bodies.js';
import { atMost, count, load, milliseconds } from './goals.js';
import { withMemory } from './memory.js';
import { answersText, openLoop } from './open-loop.js';
import { rowsIn } from './rows.js';

const mustP99 = { committed: 100, durable: 25 };

/** Each level for so many seconds, after some that warm the service up. */
export async function benchOpenLoop({ openSeconds }) {
  heading(`Open loop: 50,000 events/s in requests of 10, ${openSeconds} s each; latency from when a request was due`);
  await withService([], async (service) => {
    let taken = 0;
    // A process that has just started is slow until its code is compiled, and what queues up meanwhile would be most of the p99.
    for (const perSecond of [1_000, 3_000, 5_000]) {
      const warm = await openLoop(service.url, { perSecond, seconds: 3, newRequest: () => eventsRequest('committed', 10) });
      taken += warm.taken * 10;
    }
    for (const ack of ['committed', 'durable']) {
      await idle(service.controlUrl);
      const newRequest = () => eventsRequest(ack, 10);
      const shape = { perSecond: 5_000, seconds: openSeconds, newRequest };
      const found = await withMemory(`50,000 events/s, ${ack}`, service, () => openLoop(service.url, shape));
      console.log(
        `  p50 ${milliseconds(found.p(0.5))}, p99.9 ${milliseconds(found.p(0.999))}; answers ${answersText(found)}; ${load()}`,
      );
      atMost(`50,000 events/s, ${ack}, p99`, found.p(0.99), mustP99[ack], milliseconds);
      atMost(`50,000 events/s, ${ack}, requests refused`, found.refused, 0, count);
      taken += found.taken * 10;
    }
    await idle(service.controlUrl);
    atMost('50,000 events/s, events lost', taken - (await rowsIn(service.databaseUrl, service.table)), 0, count);
  });
}
