import { type DeadLetter, type Log, type OffsetRange, settledPosition } from 'sluice/log';
import { describe, expect, it } from 'vitest';
import { campaign } from './campaign.js';
import { type PlantedLog, playLog } from './log-schedule.js';

const histories = 1_000;

it(`R-169, R-182, R-185: ${histories} histories with crashes between any two steps lose nothing, reorder no key and settle nothing twice`, {
  timeout: 240_000,
}, async () => {
  expect((await campaign('log', 1, histories))?.message).toBeUndefined();
});

it('seed 22764: a redrive does not mark the letter that took the place of the one it sent', async () => {
  expect((await playLog(22_764)).violations).toEqual([]);
});

it('R-163: the same seed plays the same history, event by event', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const once = await playLog(seed, { traced: true });
    expect(once.trace.length).toBeGreaterThan(2);
    expect(await playLog(seed, { traced: true })).toEqual(once);
  }
});

/** A log whose members are replaced by these. */
const replaced = (log: Log, members: Partial<Log>): Log => Object.assign(Object.create(log), members);

/** Every order of steps that would lose or double something, done on purpose. */
const canaries: readonly [string, string, PlantedLog][] = [
  [
    'a cursor that moves when a record is read, before it is settled',
    'lost',
    (log) => {
      const owners = new Map<string, Awaited<ReturnType<Log['claim']>>>();
      return replaced(log, {
        async claim(group, stream, partition) {
          const claim = await log.claim(group, stream, partition);
          owners.set(`${stream}/${partition}`, claim);
          return claim;
        },
        async read(stream, partition, from, bounds) {
          const records = await log.read(stream, partition, from, bounds);
          const owner = owners.get(`${stream}/${partition}`);
          const cursor = (records.at(-1)?.offset ?? -1) + 1;
          if (owner !== undefined && records.length > 0)
            await log.settle(owner, { position: { cursor, settledAbove: [] } }).catch(() => {});
          return records;
        },
      });
    },
  ],
  [
    'a letter that is written after the cursor has passed it',
    'lost',
    (log) =>
      replaced(log, {
        async settle(owner, { dead = [], ...moves }) {
          await log.settle(owner, moves);
          if (dead.length > 0) await log.settle(owner, { dead });
        },
      }),
  ],
  [
    'a letter that is marked as redriven before it is appended',
    'redrive',
    (log) => {
      let page: readonly DeadLetter[] = [];
      const { letters } = log;
      const looking = Object.assign(Object.create(letters), {
        async page(query: Parameters<typeof letters.page>[0]) {
          const found = await letters.page(query);
          page = found.letters;
          return found;
        },
      });
      return replaced(log, {
        letters: looking,
        async append(stream, events) {
          const redriven = events.some((event) => event.redrive != null) ? page : [];
          await letters.markRedriven(redriven, 0);
          return log.append(stream, events);
        },
      });
    },
  ],
  [
    'an epoch that nobody checks',
    'lost',
    (log, store) =>
      replaced(log, {
        async settle(owner, moves) {
          const place = store.streams.get(owner.stream)!.groups.get(owner.group)![owner.partition]!;
          const fenced = place.state.epoch !== owner.epoch || !place.state.owned;
          if (!fenced || moves.position === undefined) return log.settle(owner, moves);
          const { cursor, settledAbove } = moves.position;
          const above: readonly OffsetRange[] = [...place.state.position.settledAbove, ...settledAbove];
          const position = settledPosition(Math.max(place.state.position.cursor, cursor), above);
          place.state = { ...place.state, position };
        },
      }),
  ],
  [
    'a claim that begins two records too early',
    'settledTwice',
    (log) =>
      replaced(log, {
        async claim(group, stream, partition) {
          const claim = await log.claim(group, stream, partition);
          const { cursor, settledAbove } = claim.position;
          return { ...claim, position: { cursor: Math.max(0, cursor - 2), settledAbove } };
        },
      }),
  ],
];

describe('the histories see what is planted:', () => {
  it.each(canaries)('%s (%s)', { timeout: 240_000 }, async (_, invariant, planted) => {
    for (let seed = 1; seed <= 2_000; seed++) {
      const { violations } = await playLog(seed, { planted });
      if (violations.some((one) => one.invariant === invariant)) return;
    }
    expect.unreachable(`no history broke ${invariant}`);
  });
});
