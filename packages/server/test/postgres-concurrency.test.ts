/** Many writers on the same keys, against real servers: no failure, the right final values. */

import { expect, test } from 'vitest';
import { context, describeOnEachPostgres, failed } from './support/postgres-sink.js';

interface Count {
  readonly key: string;
  readonly version: number;
}

/** In the torture run a minute, here what a test may take. */
const tortured = process.env.SLUICE_TORTURE_MS !== undefined;
const forMs = Number(process.env.SLUICE_TORTURE_MS ?? 1500);

/** Numbers that are the same for the same seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

describeOnEachPostgres('writers', 8, (world) => {
  test.each([
    ['INSERT', Number.POSITIVE_INFINITY],
    ['COPY through a temporary table', 0],
  ])(
    'eight of them update overlapping keys by %s: no failure, and each key holds a value of the last round',
    async (how, copyAboveRows) => {
      await world.observer.query('CREATE TABLE events (key text PRIMARY KEY, version int NOT NULL)');
      const sink = world.sink<Count>({
        columns: ['key', 'version'],
        conflict: { columns: ['key'], action: 'update' },
        copyAboveRows,
      });
      const until = performance.now() + forMs;
      let writes = 0;
      const write = async (seed: number, version: number) => {
        const below = numbers(seed * 1000 + version + 1);
        // Any order, and keys that come twice.
        const items = Array.from({ length: 200 }, () => ({ key: `key-${below(100)}`, version }));
        expect(failed(await sink.write(items, context()))).toEqual({});
        writes++;
      };
      await Promise.all(
        Array.from({ length: 8 }, async (_, writer) => {
          for (let version = 0; performance.now() < until; version++) await write(writer + 1, version);
        }),
      );
      expect(writes).toBeGreaterThan(16);
      const last = 1_000_000;
      await Promise.all(
        Array.from({ length: 8 }, (_, writer) =>
          sink.write(
            Array.from({ length: 100 }, (_, i) => ({ key: `key-${99 - i}`, version: last + writer })),
            context(),
          ),
        ),
      );
      const rows = await world.rows('SELECT min(version) AS least, max(version) AS most, count(*)::int AS n FROM events');
      expect(rows).toEqual([{ least: expect.any(Number), most: expect.any(Number), n: 100 }]);
      expect(rows[0]!.least).toBeGreaterThanOrEqual(last);
      // Whole batches: all keys were in each, so one writer's values stand in all.
      expect(rows[0]!.least).toBe(rows[0]!.most);
      expect(sink.stats()).toMatchObject({ committed: writes + 8, waiting: 0 });
      const { conflicts } = sink.stats();
      if (tortured) console.log(`${writes} batches of 200 in ${forMs} ms by ${how}: all committed, ${conflicts} tried again`);
    },
    30_000 + 2 * forMs,
  );

  test('of equal keys in one batch an update takes the last, an ignore the first; rows whose key is null are all kept', async () => {
    for (const copyAboveRows of [0, Number.POSITIVE_INFINITY]) {
      for (const [action, expected] of [
        ['update', [3, 2, 4, 5]],
        ['ignore', [1, 2, 4, 5]],
      ] as const) {
        await world.observer.query('DROP TABLE IF EXISTS events; CREATE TABLE events (key text UNIQUE, version int)');
        const sink = world.sink<object>({ conflict: { columns: ['key'], action }, copyAboveRows });
        await sink.write(
          [{ key: 'a', version: 1 }, { key: 'b', version: 2 }, { key: 'a', version: 3 }, { version: 4 }, { version: 5 }],
          context(),
        );
        const stored = await world.rows('SELECT version FROM events ORDER BY key NULLS LAST, version');
        expect(stored.map(({ version }) => version)).toEqual(expected);
      }
    }
  });

  test('an update sets the chosen columns only', async () => {
    await world.observer.query(
      `CREATE TABLE events (key text PRIMARY KEY, version int, made text); INSERT INTO events VALUES ('a', 1, 'first')`,
    );
    const sink = world.sink<object>({ conflict: { columns: ['key'], action: 'update', set: ['version'] } });
    await sink.write([{ key: 'a', version: 2, made: 'second' }], context());
    expect(await world.rows('SELECT * FROM events')).toEqual([{ key: 'a', version: 2, made: 'first' }]);
  });

  test('a deadlock is tried again at once, and nothing is doubled', async () => {
    await world.observer.query(
      `CREATE TABLE events (key text PRIMARY KEY, version int); INSERT INTO events VALUES ('a', 0), ('b', 0)`,
    );
    const sink = world.sink<object>({ conflict: { columns: ['key'], action: 'update' } });
    await sink.prepare();
    const other = await world.pool.connect();
    // The other one locks b, then wants a, which the sink has locked on its way to b; it is patient, so the sink is the victim.
    await other.query(`BEGIN; SET LOCAL deadlock_timeout = '1h'; UPDATE events SET version = 7 WHERE key = 'b'`);
    const write = sink.write(
      [
        { key: 'a', version: 1 },
        { key: 'b', version: 1 },
      ],
      context(),
    );
    const waiting = `SELECT FROM pg_stat_activity WHERE application_name = 'sink' AND wait_event_type = 'Lock'`;
    while ((await world.rows(waiting)).length === 0);
    const update = other.query(`UPDATE events SET version = 8 WHERE key = 'a'`).then(() => other.query('COMMIT'));
    expect(await write).toBeUndefined();
    await update;
    other.release();
    expect(sink.stats()).toMatchObject({ conflicts: 1, committed: 1 });
    expect(await world.rows('SELECT * FROM events ORDER BY key')).toEqual([
      { key: 'a', version: 1 },
      { key: 'b', version: 1 },
    ]);
  });

  test('waits for a connection are counted', async () => {
    await world.observer.query('CREATE TABLE events (key text PRIMARY KEY)');
    const sink = world.sink<object>();
    await sink.prepare();
    const clients = await Promise.all(Array.from({ length: 8 }, () => world.pool.connect()));
    const write = sink.write([{ key: 'a' }], context());
    expect(sink.stats()).toMatchObject({ waiting: 1 });
    await world.rows('SELECT pg_sleep(0.02)');
    for (const client of clients) client.release();
    await write;
    const { waiting, slotWaitMs, longestSlotWaitMs } = sink.stats();
    expect(waiting).toBe(0);
    expect(longestSlotWaitMs).toBeGreaterThan(15);
    expect(slotWaitMs).toBeGreaterThanOrEqual(longestSlotWaitMs);
  });
});
