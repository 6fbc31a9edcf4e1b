/** Admission under load: a log that commits in groups, on a virtual clock, and senders that do not wait for their answers. */

import { testEnv } from 'sluice/testing';
import { describe, expect, it } from 'vitest';
import { type Admission, createAdmission, type Entry } from './admission.js';

/** A commit takes so long by itself, and the log stores so many items a millisecond. */
const commitMs = 4;
const itemsPerMs = 100;
const requestItems = 10;

interface Sender {
  readonly tenant: string;
  /** What it sends, as a share of what the log can take. */
  readonly load: number;
  /** When it begins. Default 0. */
  readonly fromMs?: number;
}

interface Waiting {
  readonly tenant: string;
  readonly sentAt: number;
  readonly entry: Entry;
}

/** Lets everybody in. */
const noAdmission: Pick<Admission, 'enter'> = {
  enter: () => ({ take: () => undefined, stored: () => {}, leave: () => {} }),
};

/** Runs it for so long; counts what was sent after `warmMs`. */
async function run(
  senders: readonly Sender[],
  { ms = 12_000, warmMs = 4_000, admitted = true, maxHeldItems = 100_000, seed = 1 } = {},
) {
  const { clock, random } = testEnv({ seed });
  const admission = admitted ? createAdmission({ tenants: {}, maxHeldItems, clock }) : noAdmission;
  const latencies = new Map(senders.map(({ tenant }) => [tenant, [] as number[]]));
  const refused = new Map(senders.map(({ tenant }) => [tenant, 0]));
  let waiting: Waiting[] = [];
  let committing: Waiting[] = [];
  let commitEndsAt = Number.NEGATIVE_INFINITY;
  let stored = 0;
  const send = (tenant: string, now: number) => {
    const entry = admission.enter(tenant);
    const problem = 'reason' in entry ? entry : entry.take(requestItems);
    if (problem === undefined) waiting.push({ tenant, sentAt: now, entry: entry as Entry });
    else {
      if (!('reason' in entry)) entry.leave();
      refused.set(tenant, refused.get(tenant)! + 1);
    }
  };
  for (let now = 0; now < ms; now++) {
    if (now >= commitEndsAt) {
      for (const { tenant, sentAt, entry } of committing) {
        entry.stored();
        entry.leave();
        if (sentAt < warmMs) continue;
        latencies.get(tenant)!.push(now - sentAt);
        stored += requestItems;
      }
      committing = waiting;
      waiting = [];
      commitEndsAt = now + commitMs + (committing.length * requestItems) / itemsPerMs;
    }
    for (const { tenant, load, fromMs = 0 } of senders) {
      if (now < fromMs) continue;
      const mean = (load * itemsPerMs) / requestItems;
      // As many as come by chance: each of a hundred may.
      for (let i = 0; i < 100; i++) if (random.next() < mean / 100) send(tenant, now);
    }
    await clock.advance(1);
  }
  return {
    goodput: stored / (ms - warmMs) / itemsPerMs,
    refused,
    p99(tenant: string) {
      const sorted = latencies.get(tenant)!.sort((a, b) => a - b);
      return sorted[Math.ceil(sorted.length * 0.99) - 1]!;
    },
  };
}

describe('R-25: at twice the capacity', () => {
  it('what is taken keeps its p99 within twice that at the capacity, and as much is taken', async () => {
    const full = await run([{ tenant: '_', load: 1 }]);
    const twice = await run([{ tenant: '_', load: 2 }]);
    expect(twice.p99('_')).toBeLessThanOrEqual(2 * full.p99('_'));
    expect(twice.goodput).toBeGreaterThanOrEqual(0.95 * full.goodput);
    expect(twice.refused.get('_')).toBeGreaterThan(1_000);
  }, 60_000);

  it('without admission the queue grows as long as it lasts', async () => {
    const full = await run([{ tenant: '_', load: 1 }]);
    const twice = await run([{ tenant: '_', load: 2 }], { admitted: false });
    expect(twice.p99('_')).toBeGreaterThan(10 * full.p99('_'));
  }, 60_000);

  it('that goes on for minutes is not taken for a slow disk: latency stays where it is', async () => {
    const short = await run([{ tenant: '_', load: 1.5 }]);
    const long = await run([{ tenant: '_', load: 1.5 }], { ms: 90_000, warmMs: 80_000 });
    expect(long.p99('_')).toBeLessThanOrEqual(1.5 * short.p99('_'));
  }, 120_000);
});

describe('R-108, R-109: a tenant at 100 times its share', () => {
  const modest = { tenant: 'modest', load: 0.02 };
  const greedy = { tenant: 'greedy', load: 2 };

  it('leaves the p99 of another within twice what it has alone, and nothing of it is refused', async () => {
    const alone = await run([modest]);
    const beside = await run([modest, greedy]);
    expect(beside.p99('modest')).toBeLessThanOrEqual(2 * alone.p99('modest'));
    expect(beside.refused.get('modest')).toBe(0);
    // Short queues make small commits: that is what the others' latency costs here.
    expect(beside.goodput).toBeGreaterThan(0.3);
  }, 60_000);

  it('that was alone before leaves another that begins now within twice that after a second; nothing of it is refused', async () => {
    const late = { ...modest, fromMs: 5_000 };
    const times = { warmMs: 6_000, ms: 14_000 };
    const alone = await run([late], times);
    const beside = await run([greedy, late], times);
    expect(beside.p99('modest')).toBeLessThanOrEqual(2 * alone.p99('modest'));
    expect(beside.refused.get('modest')).toBe(0);
  }, 60_000);

  it('that has a key and is alone has as much taken as one without', async () => {
    // So few that half of them would make smaller commits.
    const without = await run([{ tenant: '_', load: 1.2 }], { maxHeldItems: 2_000 });
    const withKey = await run([{ tenant: 'lone', load: 1.2 }], { maxHeldItems: 2_000 });
    expect(withKey.goodput).toBeGreaterThanOrEqual(0.98 * without.goodput);
  }, 60_000);

  it('many tenants that all send much are no crowd: as much is taken as of one', async () => {
    const one = await run([{ tenant: '_', load: 1.2 }]);
    const many = await run(Array.from({ length: 8 }, (_, i) => ({ tenant: `t${i}`, load: 1.2 / 8 })));
    expect(many.goodput).toBeGreaterThanOrEqual(0.95 * one.goodput);
  }, 60_000);

  it('without admission the other waits behind all that it sends', async () => {
    const alone = await run([modest]);
    const beside = await run([modest, greedy], { admitted: false });
    expect(beside.p99('modest')).toBeGreaterThan(20 * alone.p99('modest'));
  }, 60_000);
});
