/** Throughput: single events and NDJSON in a closed loop, against a bare server and between the levels. */

import { fileURLToPath } from 'node:url';
import { idle, startProcess, withService } from '../service-process.js';
import { heading, median } from '../support.js';
import { bareRequest } from './bodies.js';
import { closedLoop, eventsLoop, hasWrk, singlesLoop } from './closed-loop.js';
import { atLeast, figure, perSecond, times } from './goals.js';
import { withMemory } from './memory.js';

const bareServer = fileURLToPath(new URL('../bare-server.js', import.meta.url));

/** One event a request. */
export async function benchSingle({ passes, passMs }) {
  heading(`One event a request, 256 connections, closed loop, ${hasWrk ? 'wrk' : 'a client in JavaScript: wrk is not there'}`);
  await withBare((bareUrl) =>
    withService([], async (service) => {
      const at = (ack) => () => singlesLoop(service.url, { ack, connections: 256, ms: passMs });
      const variants = {
        bare: () => singlesLoop(bareUrl, { ack: undefined, connections: 256, ms: passMs }),
        durable: at('durable'),
        accepted: at('accepted'),
        committed: at('committed'),
      };
      const found = await withMemory('single events', service, () => alternate(variants, passes, service));
      figure('single events, bare node:http that parses and answers 202', found.bare, perSecond);
      figure('single events, durable', found.durable, perSecond);
      atLeast('single events, durable against the bare server', found.durable / found.bare, 0.5, times);
      figure('single events, accepted', found.accepted, perSecond);
      atLeast('single events, committed against accepted', found.committed / found.accepted, 0.6, times);
    }),
  );
}

/** 100 events a request. */
export async function benchNdjson({ passes, passMs }) {
  heading('NDJSON, 100 events a request, 32 connections, closed loop');
  await withBare((bareUrl) =>
    withService([], async (service) => {
      const shape = { connections: 32, events: 100, ms: passMs };
      const at = (ack) => () => eventsLoop(service.url, { ack, ...shape });
      const variants = {
        bare: () => closedLoop(bareUrl, { ...shape, newRequest: () => bareRequest(100), asked: 202 }),
        durable: at('durable'),
        accepted: at('accepted'),
        committed: at('committed'),
      };
      const found = await withMemory('NDJSON', service, () => alternate(variants, passes, service));
      figure('NDJSON, bare node:http that parses each line', found.bare, perSecond);
      atLeast('NDJSON, durable', found.durable, 300_000, perSecond);
      figure('NDJSON, accepted', found.accepted, perSecond);
      atLeast('NDJSON, committed', found.committed, 100_000, perSecond);
      atLeast('NDJSON, committed against accepted', found.committed / found.accepted, 0.3, times);
    }),
  );
}

async function withBare(use) {
  const bare = await startProcess([bareServer], '\n');
  try {
    await use(bare.printed.trim());
  } finally {
    bare.child.kill('SIGKILL');
    await bare.ended;
  }
}

/** Medians of passes of the variants in turn, after one that warms up; each begins without a backlog. */
async function alternate(variants, passes, { controlUrl }) {
  const samples = Object.fromEntries(Object.keys(variants).map((name) => [name, []]));
  let refused = 0;
  for (let pass = -1; pass < passes; pass++) {
    for (const [name, run] of Object.entries(variants)) {
      await idle(controlUrl);
      const sample = await run();
      if (pass < 0) continue;
      samples[name].push(sample.perSecond);
      refused += sample.refused;
    }
  }
  if (refused > 0) console.log(`  ${refused} requests were refused (503, 429) and came again when they were told to`);
  return Object.fromEntries(Object.entries(samples).map(([name, taken]) => [name, median(taken)]));
}
