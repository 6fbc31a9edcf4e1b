/** Simulated items a second: the production batcher on a virtual clock, with a Poisson process and a sink that takes its time. */

import { poisson, simulate } from 'sluice/simulate';
import { heading, median, rounds } from './support.js';

const perSecond = 10_000;
const untilMs = 30_000;

const run = async (options) => {
  const { tally } = await simulate({
    arrivals: poisson({ perSecond }),
    sink: { fixedMs: 5, perItemMs: 0.02 },
    batcher: { window: { maxDelayMs: 100 }, maxItems: 500 },
    untilMs,
    ...options,
  });
  return tally.offered;
};

const variants = {
  'push, every promise checked at every step': {},
  'push, unchecked': { checks: 'off' },
  'offer, every promise checked at every step': { by: 'offer' },
  'offer, unchecked': { by: 'offer', checks: 'off' },
};

export async function benchSimulate() {
  heading(`simulate: ${perSecond} items a second for ${untilMs / 1000} s, batches of up to 500`);
  const samples = new Map(Object.keys(variants).map((name) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [name, options] of Object.entries(variants)) {
      const startedAt = performance.now();
      const items = await run(options);
      const seconds = (performance.now() - startedAt) / 1000;
      if (round >= 0) samples.get(name).push(items / seconds);
    }
  }
  for (const [name, rates] of samples)
    console.log(`  ${name.padEnd(44)} ${Math.round(median(rates)).toLocaleString('en').padStart(12)} simulated items/s`);
}
