/** Constraints between rows, against real servers: exclusion constraints, now or at COMMIT, and what is added to the rows' transaction. */

import type { PostgresSinkOptions } from 'sluice/postgres';
import { expect, test } from 'vitest';
import { context, describeOnEachPostgres, failed, failureOf } from './support/postgres-sink.js';

interface Booking {
  readonly id: number;
  /** A range of integers: no two may overlap. */
  readonly span: string;
  readonly n?: unknown;
}

const table = (timing = '') => `CREATE TABLE events (id int PRIMARY KEY, span int4range NOT NULL, n int CHECK (n < 1000),
  CONSTRAINT apart EXCLUDE USING gist (span WITH &&) ${timing})`;
const bookings = (count: number): Booking[] =>
  Array.from({ length: count }, (_, i) => ({ id: i, span: `[${i * 10},${i * 10 + 10})`, n: 1 }));
const stored = 'SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids FROM events';

const ways: readonly (readonly [how: string, rule: Partial<PostgresSinkOptions<Booking>>])[] = [
  ['COPY', {}],
  ['COPY through a temporary table, ignore', { conflict: { columns: ['id'], action: 'ignore' }, copyAboveRows: 0 }],
  ['COPY through a temporary table, update', { conflict: { columns: ['id'], action: 'update' }, copyAboveRows: 0 }],
  ['INSERT', { copyAboveRows: Number.POSITIVE_INFINITY }],
  ['INSERT ON CONFLICT', { conflict: { columns: ['id'], action: 'update' }, copyAboveRows: Number.POSITIVE_INFINITY }],
];

describeOnEachPostgres('an exclusion constraint', 1, (world) => {
  for (const timing of ['', 'DEFERRABLE INITIALLY DEFERRED']) {
    test.each(ways)(
      `${timing === '' ? '' : 'checked at COMMIT '}refuses each row that overlaps one stored or one before it in the batch, alone, written by %s`,
      async (_how, rule) => {
        await world.observer.query(`${table(timing)}; INSERT INTO events VALUES (10000, '[705,706)', 1)`);
        const sink = world.sink<Booking>(rule);
        const items = bookings(200);
        items[71] = { ...items[71]!, span: '[95,96)' };
        items[150] = { ...items[150]!, n: 5000 };
        items[199] = { ...items[199]!, span: '[1,2)' };
        const failures = failed(await sink.write(items, context()));
        const overlap = { code: 'PG_23P01', class: 'permanent', message: expect.stringMatching(/exclusion constraint "apart"/) };
        // 70 overlaps what is stored; 71 overlaps 9, and 199 overlaps 0, which came before them.
        expect(Object.keys(failures)).toEqual(['70', '71', '150', '199']);
        expect(failures).toMatchObject({ 70: overlap, 71: overlap, 150: { code: 'PG_23514' }, 199: overlap });
        expect(await world.rows(stored)).toEqual([{ n: 197, ids: 197 }]);
        expect(sink.stats()).toMatchObject({ committed: 1, isolated: 1 });
        await world.expectIdle(1);
      },
    );
  }
});

describeOnEachPostgres("what is added to the rows' transaction", 1, (world) => {
  const added = (sql: string): readonly (readonly [how: string, options: Partial<PostgresSinkOptions<Booking>>])[] => [
    ['commitWith', { commitWith: () => sql }],
    ['commitWith, by INSERT', { commitWith: () => sql, copyAboveRows: Number.POSITIVE_INFINITY }],
    ['beforeCommit', { beforeCommit: () => sql }],
  ];

  test.each(added("INSERT INTO notes VALUES ('[1,3)')"))(
    'and fails by a constraint of its own is not taken for the fault of a row: the batch is sent once, in %s',
    async (_how, options) => {
      await world.observer.query(
        `${table()}; CREATE TABLE notes (span int4range, CONSTRAINT once EXCLUDE USING gist (span WITH &&)); INSERT INTO notes VALUES ('[1,2)')`,
      );
      const sink = world.sink<Booking>(options);
      expect(await failureOf(sink.write(bookings(200), context()))).toMatchObject({
        code: 'PG_23P01',
        class: 'permanent',
        cause: { constraint: 'once' },
      });
      expect(sink.stats()).toMatchObject({ committed: 0, isolated: 0 });
      expect(await world.rows(stored)).toEqual([{ n: 0, ids: 0 }]);
      await world.expectIdle(1);
      // Once it can succeed, a bad row beside it is taken out.
      await world.observer.query('TRUNCATE notes');
      const items = bookings(200);
      items[5] = { ...items[5]!, n: 5000 };
      expect(Object.keys(failed(await sink.write(items, context())))).toEqual(['5']);
      expect(await world.rows(stored)).toEqual([{ n: 199, ids: 199 }]);
      expect(await world.rows('SELECT span FROM notes')).toEqual([{ span: '[1,3)' }]);
    },
  );

  test.each(added('INSERT INTO notes VALUES (1); SELECT 1; INSERT INTO notes VALUES (2) -- both'))(
    'leaves a constraint that fails at COMMIT the fault of its row, and may end with a comment, in %s',
    async (_how, options) => {
      await world.observer.query(`${table('DEFERRABLE INITIALLY DEFERRED')}; CREATE TABLE notes (n int)`);
      const sink = world.sink<Booking>(options);
      const items = bookings(200);
      items[71] = { ...items[71]!, span: '[95,96)' };
      const failures = failed(await sink.write(items, context()));
      expect(Object.keys(failures)).toEqual(['71']);
      expect(failures[71]).toMatchObject({ code: 'PG_23P01' });
      expect(await world.rows(stored)).toEqual([{ n: 199, ids: 199 }]);
      expect(await world.rows('SELECT n FROM notes ORDER BY n')).toEqual([{ n: 1 }, { n: 2 }]);
      await world.expectIdle(1);
    },
  );
});
