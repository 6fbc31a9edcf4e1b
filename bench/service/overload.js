/** Overload: more than the service can take, from everybody and from one tenant. */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeKey } from '../../packages/server/dist/gateway/caller.js';
import { idle, withFolder, withService } from '../service-process.js';
import { heading, median } from '../support.js';
import { eventsRequest } from './bodies.js';
import { eventsLoop } from './closed-loop.js';
import { atLeast, atMost, figure, milliseconds, perSecond, times } from './goals.js';
import { greedyLoop } from './greedy.js';
import { withMemory } from './memory.js';
import { answersText, openLoop } from './open-loop.js';

/** Twice the capacity: what is taken keeps its latency, and as much is taken as before. */
export async function benchOverload({ passes, passMs, overloadSeconds }) {
  heading(`Twice the capacity, durable, 100 events a request, open loop, ${overloadSeconds} s each`);
  await withService([], async (service) => {
    const samples = [];
    for (let pass = -1; pass < passes; pass++) {
      await idle(service.controlUrl);
      // So many that the service is what they wait for: 32 wait for one commit after the other.
      const { perSecond: sample } = await eventsLoop(service.url, { ack: 'durable', events: 100, connections: 256, ms: passMs });
      if (pass >= 0) samples.push(sample);
    }
    const peak = median(samples);
    figure('overload, capacity in a closed loop', peak, perSecond);
    const at = async (share) => {
      await idle(service.controlUrl);
      const shape = {
        perSecond: (peak / 100) * share,
        seconds: overloadSeconds,
        newRequest: () => eventsRequest('durable', 100),
        settleSeconds: 1,
      };
      const found = await openLoop(service.url, shape);
      console.log(`  at ${share} × the capacity: ${answersText(found)}`);
      return found;
    };
    await withMemory('overload', service, async () => {
      const full = await at(1);
      const twice = await at(2);
      figure('overload, p99 at the capacity', full.p(0.99), milliseconds);
      atMost('overload, p99 at twice the capacity against that', twice.p(0.99) / full.p(0.99), 2, times);
      const best = Math.max(full.takenPerSecond, twice.takenPerSecond);
      atLeast('overload, goodput at twice the capacity against the best', twice.takenPerSecond / best, 0.95, times);
    });
  });
}

/** Events a second of the tenant that wants little; the other wants 100 times as much. */
const modestPerSecond = 2_000;

/** One tenant wants a hundred times its share: the other does not notice. */
export async function benchFairness({ overloadSeconds }) {
  heading(
    `A tenant at 100 × the other's ${modestPerSecond.toLocaleString('en')} events/s, durable, ${overloadSeconds} s each, without the first`,
  );
  await withFolder(async (folder) => {
    const [modest, greedy] = ['modest', 'greedy'].map((id) => ({ id, ...makeKey(id) }));
    const config = join(folder, 'sluice.config.json');
    const keys = [modest, greedy].map(({ id, hash }) => ({ id, hash, tenant: id }));
    await writeFile(config, JSON.stringify({ keys, pipelines: { events: { sink: { type: 'postgres', table: 'events' } } } }));
    await withService(['--config', config], async (service) => {
      const sendModest = () =>
        openLoop(service.url, {
          perSecond: modestPerSecond / 10,
          seconds: overloadSeconds,
          newRequest: () => eventsRequest('durable', 10, modest.key),
          connections: 256,
          settleSeconds: 1,
        });
      const sendGreedy = (seconds, share) =>
        greedyLoop(service.url, {
          ...{ perSecond: (modestPerSecond * share) / 100, seconds, connections: 256 },
          ...{ events: 100, key: greedy.key },
        });
      await sendGreedy(2, 20);
      await idle(service.controlUrl);
      const alone = await sendModest();
      const [beside, other] = await withMemory('fairness', service, () =>
        // The greedy one has begun when the modest one is measured.
        Promise.all([sendModest(), sendGreedy(overloadSeconds, 100)]),
      );
      console.log(`  the modest one: ${answersText(beside)}; the greedy one: ${answersText(other)}`);
      figure('fairness, p99 of the modest tenant alone', alone.p(0.99), milliseconds);
      atMost('fairness, p99 beside a greedy one against that', beside.p(0.99) / alone.p(0.99), 2, times);
      figure('fairness, events of the greedy tenant', other.takenPerSecond * 100, perSecond);
    });
  });
}
