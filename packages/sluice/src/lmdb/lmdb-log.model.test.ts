import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NewDeadLetter } from '../log/dead-letter.js';
import type { Log } from '../log/log.js';
import { createMemoryLog } from '../log/memory-log.js';
import { memoryStore } from '../log/memory-store.js';
import type { Claim } from '../log/position.js';
import { rangesOf } from '../log/ranges.js';
import { all, codeOf, dead, event } from '../testing/exercise-log-support.js';
import { testEnv } from '../testing/test-env.js';
import { openLmdbLog } from './lmdb-log.js';

// `SLUICE_MODEL_RUNS=500` for a long run.
const numRuns = Number(process.env.SLUICE_MODEL_RUNS ?? 12);
const partitions = 2;
const groups = ['g', 'h'];
const streamDefaults = { partitions, ids: { maxItems: 9 } };
const place = { group: fc.constantFrom(...groups), partition: fc.nat(partitions - 1) };
const offsets = fc.array(fc.nat(14), { maxLength: 6 });

/** One act on a log; offsets are counted from the cursor on, so that most acts make sense. */
const act = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      events: fc.array(fc.record({ id: fc.nat(15), key: fc.nat(5), redrive: fc.boolean() }), { maxLength: 8 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('settle' as const), ...place, advance: fc.nat(5), offsets, dead: offsets }),
  },
  fc.record({ do: fc.constant('claim' as const), ...place }),
  fc.record({ do: fc.constant('release' as const), ...place }),
  fc.record({ do: fc.constant('inFlight' as const), ...place, offsets }),
  fc.record({ do: fc.constant('skip' as const), ...place, first: fc.nat(5), length: fc.nat(3) }),
  fc.record({ do: fc.constant('seek' as const), ...place, back: fc.nat(6) }),
  fc.record({ do: fc.constant('redriven' as const), ...place, offsets }),
  fc.record({ do: fc.constant('purge' as const), ...place }),
  fc.record({ do: fc.constant('restart' as const) }),
);

type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

describe('the log over LMDB and the log in memory', () => {
  it('answer alike, whatever is done to them, restarts included', { timeout: numRuns * 10_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 10, maxLength: 40 }), async (acts) => {
        const path = await mkdtemp(join(tmpdir(), 'sluice-model-'));
        const env = testEnv();
        const store = memoryStore();
        const openDisk = () => openLmdbLog({ path, env, streamDefaults });
        const openModel = () => createMemoryLog({ store, env, streamDefaults });
        let disk = openDisk();
        let model = openModel();
        const claims = new Map<string, [Claim, Claim]>();
        const both = async <T>(fn: (log: Log, claimed: Claim | undefined) => Promise<T>, name = ''): Promise<[T, T]> => {
          const pair = claims.get(name);
          return [await fn(disk, pair?.[0]), await fn(model, pair?.[1])];
        };
        try {
          for (const group of groups) await both((log) => log.createGroup(group, 's'));
          for (const step of acts) {
            if (step.do === 'restart') {
              await both((log) => log.close());
              disk = openDisk();
              model = openModel();
            } else {
              const name = 'group' in step ? `${step.group}/${step.partition}` : '';
              const [onDisk, inModel] = await both((log, claimed) => play(log, claimed, step), name);
              if (step.do === 'claim') claims.set(name, [onDisk as Claim, inModel as Claim]);
              expect(onDisk).toEqual(inModel);
            }
            const [seen, expected] = await both(look);
            expect(seen).toEqual(expected);
          }
        } finally {
          await both((log) => log.close());
          await rm(path, { recursive: true, force: true });
        }
      }),
      { numRuns },
    );
  });
});

/** Does one act; an owner that was never made, or is fenced, answers a code. */
async function play(log: Log, claimed: Claim | undefined, step: Exclude<Act, { do: 'restart' }>): Promise<unknown> {
  if (step.do === 'append') {
    const events = step.events.map(({ id, key, redrive }) =>
      event(`e${id}`, { key: `k${key}`, ...(redrive ? { redrive: { id: `r${id % 3}`, group: 'g' } } : {}) }),
    );
    return (await log.append('s', events)).appended;
  }
  const { group, partition } = step;
  const cursor = (await log.position(group, 's', partition))!.cursor;
  const at = (list: readonly number[]) => list.map((offset) => cursor + offset);
  if (step.do === 'claim') return log.claim(group, 's', partition);
  if (step.do === 'seek')
    return log.seek(group, 's', partition, { offset: Math.max(await slowest(log, partition), cursor - step.back) });
  if (step.do === 'redriven') {
    const letters = await Promise.all(at(step.offsets).map((offset) => log.letters.get(`${group}/s/${partition}/${offset}`)));
    return log.letters.markRedriven(
      letters.flatMap((letter) => letter ?? []),
      5,
    );
  }
  if (step.do === 'purge') return log.letters.purge({ group, partition, state: 'redriven' });
  if (claimed === undefined) return 'never claimed';
  if (step.do === 'release') return log.release(claimed);
  if (step.do === 'inFlight') return codeOf(log.inFlight(claimed, rangesOf(at(step.offsets))));
  if (step.do === 'skip')
    return outcome(log.skip(claimed, { first: cursor + step.first, last: cursor + step.first + step.length }));
  const records = await log.read('s', partition, cursor, all);
  const parked: NewDeadLetter[] = at(step.dead).flatMap((offset) => {
    const record = records.find((each) => each.offset === offset);
    return record === undefined ? [] : [dead(record, `C${offset % 2}`, { firstFailedAt: 1, lastFailedAt: 2 })];
  });
  const settledAbove = rangesOf(at(step.offsets));
  const position = { cursor: cursor + step.advance, settledAbove };
  return codeOf(log.settle(claimed, { position, delivered: settledAbove, dead: parked }));
}

/** Chunks go as a whole: only what a group still needs is there in both logs. */
async function slowest(log: Log, partition: number): Promise<number> {
  return Math.min(...(await log.groups()).filter((info) => info.partition === partition).map((info) => info.cursor));
}

async function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: { code: string }) => error.code);
}

/** All that can be seen of a log, but for when a letter was parked, and bytes. */
async function look(log: Log): Promise<unknown> {
  const records = [];
  for (let partition = 0; partition < partitions; partition++) {
    const read = await log.read('s', partition, await slowest(log, partition), all);
    records.push(read.map(({ offset, id, key, redrive }) => [offset, id, key, redrive?.id]));
  }
  const infos = (await log.groups()).map((info) => JSON.stringify(info)).sort();
  const letters = (await log.letters.page({ limit: 1_000 })).letters.map(({ id, code, state, redrives }) => [
    id,
    code,
    state,
    redrives,
  ]);
  const lags = await Promise.all(groups.map(async (group) => (await log.lag(group, 's')).map(({ items }) => items)));
  const ends = (await log.streams()).map(({ partition, nextOffset }) => [partition, nextOffset]);
  return { records, infos, letters, items: log.letters.items, lags, ends };
}
