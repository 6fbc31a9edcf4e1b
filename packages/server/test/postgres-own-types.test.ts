/** Types, collations and functions of the user's, against real servers: written as they should be, and never held on to. */

import type { PostgresSinkOptions } from 'sluice/postgres';
import { expect, test } from 'vitest';
import { context, describeOnEachPostgres, failed } from './support/postgres-sink.js';

const types = `CREATE TYPE mood AS ENUM ('sad', 'fine'); CREATE TYPE point2 AS (x int, y int);
CREATE DOMAIN short AS varchar(3); CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN key AS text COLLATE "C";
CREATE COLLATION mine FROM "C";
CREATE FUNCTION is_even(n int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT n % 2 = 0'`;
const table = `CREATE TABLE events (id key PRIMARY KEY, m mood NOT NULL, ms mood[], p point2, s short, n positive, c text COLLATE mine,
  even int CHECK (is_even(even)), v varchar(5), CHECK (length(v) > 1), CHECK (m <> 'sad' OR n < 100))`;

const item = (i: number): Record<string, unknown> => ({
  id: `id-${i}`,
  m: i % 2 === 0 ? 'sad' : 'fine',
  ms: ['fine', null, 'sad'],
  p: `(${i},2)`,
  s: 'abc',
  n: 1 + (i % 50),
  c: 'é',
  even: 2 * i,
  v: 'vv',
});
const items = (count: number) => Array.from({ length: count }, (_, i) => item(i));

const bad: readonly (readonly [string, Record<string, unknown>, string])[] = [
  ['a label that the enum lacks', { m: 'glad' }, 'PG_22P02'],
  ['such a label in an array', { ms: ['glad'] }, 'PG_22P02'],
  ['a composite that is none', { p: '(1' }, 'PG_22P02'],
  ['too long for a domain', { s: 'abcd' }, 'PG_22001'],
  ["a domain's check", { n: -1 }, 'PG_23514'],
  ["a check by the user's function", { even: 3 }, 'PG_23514'],
  ['a check of an enum', { id: 'x', m: 'sad', n: 500 }, 'PG_23514'],
  ['an own check', { v: 'v' }, 'PG_23514'],
  ['too long', { v: 'vvvvvv' }, 'PG_22001'],
  ['a null', { m: null }, 'PG_23502'],
];

const ways: readonly (readonly [how: string, rule: Partial<PostgresSinkOptions<Record<string, unknown>>>])[] = [
  ['COPY', {}],
  ['INSERT', { copyAboveRows: Number.POSITIVE_INFINITY }],
  ['COPY through a temporary table', { conflict: { columns: ['id'], action: 'update' }, copyAboveRows: 0 }],
  ['INSERT ON CONFLICT', { conflict: { columns: ['id'], action: 'ignore' }, copyAboveRows: Number.POSITIVE_INFINITY }],
];

describeOnEachPostgres("a table with types of the user's", 1, (world) => {
  test.each(ways)('takes them by %s, and refuses each bad value alone, never cut off', async (_how, rule) => {
    await world.observer.query(`${types}; ${table}`);
    const sink = world.sink<Record<string, unknown>>(rule);
    const batch = items(200);
    bad.forEach(([, wrong], at) => {
      batch[at * 20] = { ...batch[at * 20]!, ...wrong };
    });
    const failures = failed(await sink.write(batch, context()));
    expect(Object.entries(failures).map(([index, { code }]) => [Number(index), code])).toEqual(
      bad.map(([, , code], at) => [at * 20, code]),
    );
    expect(await world.rows('SELECT * FROM events WHERE id = $$id-1$$')).toEqual([
      { id: 'id-1', m: 'fine', ms: '{fine,NULL,sad}', p: '(1,2)', s: 'abc', n: 2, c: 'é', even: 2, v: 'vv' },
    ]);
    expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 190 }]);
  });

  test.each(ways)('lets its owner change and drop it and them while the sink is connected, by %s', async (_how, rule) => {
    await world.observer.query(`${types}; ${table}`);
    const sink = world.sink<Record<string, unknown>>({ ...rule, columns: ['id', 'm', 'ms', 'p', 's', 'n', 'c', 'even', 'v'] });
    const withBad = [...items(120), { ...item(121), m: 'glad' }];
    expect(Object.keys(failed(await sink.write(withBad, context())))).toEqual(['120']);
    // What holds a lock would make this wait, what depends on a type would make it fail.
    await world.observer.query("SET lock_timeout = '10s'; CREATE TYPE mood2 AS ENUM ('sad', 'fine', 'glad')");
    await world.observer.query(`ALTER TABLE events DROP CONSTRAINT events_check, ALTER m TYPE mood2 USING m::text::mood2,
      ALTER ms TYPE mood2[] USING ms::text::mood2[]; DROP TYPE mood; TRUNCATE events`);
    expect(failed(await sink.write(withBad, context()))).toEqual({});
    expect(await world.rows(`SELECT count(*)::int AS n FROM events WHERE m = 'glad'`)).toEqual([{ n: 1 }]);
    await world.observer.query(
      'DROP TABLE events; DROP TYPE mood2, point2; DROP DOMAIN short, positive, key; DROP COLLATION mine; DROP FUNCTION is_even',
    );
    await world.expectIdle(1);
  });
});
