/** Simulation: which window for 2,000 items a second? Run it with `npm run example simulation`. */

import { poisson, simulate } from 'sluice/simulate';

for (const maxDelayMs of [5, 20, 80]) {
  const { calls, latencies, violations } = await simulate({
    seed: 1,
    arrivals: poisson({ perSecond: 2_000 }),
    sink: { fixedMs: 5, perItemMs: 0.05, spread: 0.3 },
    batcher: { window: { maxDelayMs }, maxItems: 500, maxInFlight: 4 },
    untilMs: 30_000,
  });
  const { count, perSecond } = calls;
  console.log(
    `${maxDelayMs} ms: ${count} calls (${Math.round(perSecond)}/s), p99 ${Math.round(latencies.p99)} ms, broken promises: ${violations.length}`,
  );
}
