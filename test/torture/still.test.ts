import { afterEach, describe, expect, it, vi } from 'vitest';
import { Burst } from '../../packages/sluice/src/engine/burst.js';
import { playStill } from './batcher-schedule.js';
import { campaign } from './campaign.js';

const schedules = 150;

it(`R-163: ${schedules} schedules of bursts, for which time stands still, break no promise of the batcher`, {
  timeout: 600_000,
}, async () => {
  expect((await campaign('still', 1, schedules))?.message).toBeUndefined();
});

it('many of their items are let in by a burst', async () => {
  const take = vi.spyOn(Burst.prototype, 'take');
  for (let seed = 1; seed <= 20; seed++) await playStill(seed);
  expect(take.mock.results.filter(({ value }) => value === true).length).toBeGreaterThan(300);
});

afterEach(() => void vi.restoreAllMocks());

/** What a burst may do wrong: each is planted in the engine itself. */
const canaries: readonly [string, () => void][] = [
  [
    'counts one too few',
    () => {
      const { end } = Burst.prototype;
      vi.spyOn(Burst.prototype, 'end').mockImplementation(function (this: Burst<unknown>) {
        return Math.max(0, end.call(this) - 1);
      });
    },
  ],
  [
    'takes one more than there is room for',
    () => {
      const { begin } = Burst.prototype;
      vi.spyOn(Burst.prototype, 'begin').mockImplementation(function (this: Burst<unknown>, lane, most) {
        begin.call(this, lane, most + 1);
      });
    },
  ],
  [
    'goes on after it was ended, in the same turn and in later ones',
    () => {
      const { begin, end } = Burst.prototype;
      const begun = new WeakMap<Burst<unknown>, Parameters<typeof begin>[0]>();
      vi.spyOn(Burst.prototype, 'begin').mockImplementation(function (this: Burst<unknown>, lane, most) {
        begun.set(this, lane);
        begin.call(this, lane, most);
      });
      vi.spyOn(Burst.prototype, 'end').mockImplementation(function (this: Burst<unknown>) {
        const came = end.call(this);
        const lane = begun.get(this);
        if (came > 0 && lane !== undefined) begin.call(this, lane, 3);
        return came;
      });
    },
  ],
  [
    'loses every fiftieth value',
    () => {
      const { take } = Burst.prototype;
      let taken = 0;
      vi.spyOn(Burst.prototype, 'take').mockImplementation(function (this: Burst<unknown>, value) {
        return ++taken % 50 === 0 || take.call(this, value);
      });
    },
  ],
  [
    'forgets what came when the next one begins',
    () => {
      const { end } = Burst.prototype;
      let ends = 0;
      vi.spyOn(Burst.prototype, 'end').mockImplementation(function (this: Burst<unknown>) {
        const came = end.call(this);
        return ++ends % 7 === 0 ? 0 : came;
      });
    },
  ],
];

describe('the schedules see a burst that (canaries)', () => {
  it.each(canaries)('%s', async (_, plant) => {
    plant();
    const found = await withoutComplaints(() => campaign('still', 1, 100));
    expect(found).toBeDefined();
  });
});

/** An engine whose counts are wrong may also throw where nobody can catch it: that is the bug that was planted, and no failure of the test. */
async function withoutComplaints<T>(act: () => Promise<T>): Promise<T> {
  const listeners = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', () => {});
  try {
    return await act();
  } finally {
    // Node tells of a rejection once its turn is over.
    await new Promise<void>((resolve) => setImmediate(resolve));
    process.removeAllListeners('unhandledRejection');
    for (const listener of listeners) process.on('unhandledRejection', listener);
  }
}
