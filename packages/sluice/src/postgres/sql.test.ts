/** The statements of the PostgreSQL sink, and the quoting of names. */

import { describe, expect, test } from 'vitest';
import { quoteTable, statementsFor } from './sql.js';

const columns = [
  ['id', 'text'],
  ['pay"load', 'jsonb'],
] as const;

describe('statementsFor', () => {
  test('without a conflict rule it is one COPY, in UTF-8 whatever the session says', () => {
    expect(statementsFor('audit.Events', columns)).toEqual({
      target: '"audit"."Events"',
      write: `COPY "audit"."Events" ("id", "pay""load") FROM STDIN (FORMAT text, ENCODING 'UTF8')`,
    });
  });

  test('with one it goes through a temporary table, in key order', () => {
    const { write, createStage } = statementsFor('events', columns, ['id']);
    expect(createStage?.sql).toBe(
      `CREATE TEMPORARY TABLE IF NOT EXISTS ${createStage?.name} ("id" text, "pay""load" jsonb) ON COMMIT DELETE ROWS`,
    );
    expect(write).toBe(
      `COPY pg_temp.${createStage?.name} ("id", "pay""load") FROM STDIN (FORMAT text, ENCODING 'UTF8'); ` +
        `INSERT INTO "events" ("id", "pay""load") SELECT "id", "pay""load" FROM pg_temp.${createStage?.name} ` +
        'ORDER BY "id", ctid ON CONFLICT ("id") DO NOTHING',
    );
  });

  test('sinks share a temporary table only where its definition is the same', () => {
    const name = (...parts: Parameters<typeof statementsFor>) => statementsFor(...parts).createStage?.name;
    expect(name('a', columns, ['id'])).toBe(name('b', columns, ['pay"load']));
    expect(name('a', columns, ['id'])).not.toBe(name('a', [['id', 'text']], ['id']));
  });
});

describe('quoteTable', () => {
  test.each([
    ['events', '"events"'],
    ['audit.events', '"audit"."events"'],
    ['Drop Table; --', '"Drop Table; --"'],
    ['"my.schema"."T ""x"""', '"my.schema"."T ""x"""'],
  ])('%s becomes %s', (table, quoted) => {
    expect(quoteTable(table)).toBe(quoted);
  });

  test.each(['', '.', 'a.', '.a', 'a.b.c', 'a"b', '"a', '"a"b', 'a\0'])('%j is refused', (table) => {
    expect(() => quoteTable(table)).toThrow(/must be a table or schema.table/);
  });
});
