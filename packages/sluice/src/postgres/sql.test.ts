/** The statements of the PostgreSQL sink, and the quoting of names. */

import { describe, expect, test } from 'vitest';
import type { Table, TableColumn } from './catalogue.js';
import { quoteTable, statementsFor } from './sql.js';

function column(name: string, more: Partial<TableColumn> = {}): TableColumn {
  return {
    name,
    type: { kind: 'text' },
    typeText: 'text',
    castText: 'text',
    stageText: 'text',
    isForeign: false,
    isAlikeInStage: true,
    typeOid: 25,
    notNull: false,
    hasDefault: false,
    generated: false,
    collate: '',
    ...more,
  };
}

const id = column('id', { notNull: true });
const note = column('no"te', {
  typeText: 'character varying(3)',
  castText: 'character varying',
  stageText: 'character varying(3)',
});
const tags = column('tags', {
  typeText: 'int[]',
  castText: 'int[]',
  stageText: 'int[]',
  type: { kind: 'other', element: { kind: 'int4', oid: 23 } },
});
const table: Table = {
  unaltered: 'true',
  name: 'events',
  columns: [id, note, tags],
  keys: [
    { columns: ['id'], nullsAreEqual: false, index: '1' },
    { columns: ['no"te'], nullsAreEqual: false, index: '2' },
  ],
  checks: [
    { name: 'short', sql: 'length(id) < 5', columns: ['id'] },
    { name: 'other', sql: 'absent > 0', columns: ['absent'] },
  ],
  copyable: true,
  changesRows: false,
  isPlain: true,
  hasScratch: true,
};

describe('statementsFor', () => {
  test('without a conflict rule it is one COPY, in UTF-8 whatever the session says', () => {
    const statements = statementsFor('"audit"."Events"', table, [id, note], undefined);
    expect(statements.stage).toBeUndefined();
    expect(statements.copyText).toBe(`COPY "audit"."Events" ("id", "no""te") FROM STDIN (FORMAT text, ENCODING 'UTF8')`);
    expect(statements.copyBinary).toBe(`COPY "audit"."Events" ("id", "no""te") FROM STDIN (FORMAT binary, ENCODING 'UTF8')`);
  });

  test('R-84: with one it goes through a temporary table that checks what the target checks, in key order', () => {
    const { copyText, stage } = statementsFor('"events"', table, [id, note], { columns: ['id'], action: 'ignore' });
    expect(stage?.create).toBe(
      `CREATE TEMPORARY TABLE IF NOT EXISTS ${stage?.name} ("id" text NOT NULL, "no""te" character varying(3), ` +
        'CONSTRAINT "short" CHECK (length(id) < 5)) ON COMMIT DELETE ROWS',
    );
    expect(copyText).toBe(`COPY pg_temp.${stage?.name} ("id", "no""te") FROM STDIN (FORMAT text, ENCODING 'UTF8')`);
    expect(stage?.merge).toBe(
      `INSERT INTO "events" ("id", "no""te") SELECT s."id", s."no""te" FROM pg_temp.${stage?.name} AS s ` +
        'ORDER BY s."id", s.ctid ON CONFLICT ("id") DO NOTHING',
    );
  });

  test('where a trigger may mend a row the temporary table checks nothing', () => {
    const mended = { ...table, changesRows: true };
    const { stage } = statementsFor('"events"', mended, [id], { columns: ['id'], action: 'ignore' });
    expect(stage?.create).toContain('("id" text) ON COMMIT');
  });

  test('an update takes the last of equal keys, and keeps those apart that hold a NULL', () => {
    const merge = (conflict: Parameters<typeof statementsFor>[3]) =>
      statementsFor('"events"', table, [id, note], conflict).stage?.merge.replace(/sluice_stage_\w+/, 'stage');
    expect(merge({ columns: ['id'], action: 'update' })).toBe(
      'INSERT INTO "events" ("id", "no""te") SELECT DISTINCT ON (s."id") s."id", s."no""te" FROM pg_temp.stage AS s ' +
        'ORDER BY s."id", s.ctid DESC ON CONFLICT ("id") DO UPDATE SET "no""te" = EXCLUDED."no""te"',
    );
    expect(merge({ columns: ['no"te'], action: 'update', set: ['id'] })).toContain(
      'DISTINCT ON (s."no""te", (CASE WHEN s."no""te" IS NULL THEN s.ctid END))',
    );
    expect(merge({ columns: ['no"te'], action: 'update', set: ['id'] })).toMatch(/DO UPDATE SET "id" = EXCLUDED."id"$/);
  });

  test('R-86: an INSERT has one parameter a column, however many rows; no cast cuts a value off, no array is flattened', () => {
    expect(statementsFor('"events"', table, [id, note, tags], undefined).insertArrays).toBe(
      'INSERT INTO "events" ("id", "no""te", "tags") SELECT s."id", s."no""te", s."tags"::int[] ' +
        'FROM unnest($1::text[], $2::character varying[], $3::text[]) WITH ORDINALITY AS s("id", "no""te", "tags", "sluice_ordinal") ' +
        'ORDER BY s."sluice_ordinal"',
    );
  });

  test('sinks share a temporary table only where its definition is the same', () => {
    const name = (columns: readonly TableColumn[]) =>
      statementsFor('"x"', table, columns, { columns: ['id'], action: 'ignore' }).stage?.name;
    expect(name([id, note])).toBe(name([id, note]));
    expect(name([id, note])).not.toBe(name([id]));
  });
});

describe('quoteTable', () => {
  test.each([
    ['events', '"events"'],
    ['audit.events', '"audit"."events"'],
    ['Drop Table; --', '"Drop Table; --"'],
    ['"my.schema"."T ""x"""', '"my.schema"."T ""x"""'],
  ])('%s becomes %s', (name, quoted) => {
    expect(quoteTable(name)).toBe(quoted);
  });

  test.each(['', '.', 'a.', '.a', 'a.b.c', 'a"b', '"a', '"a"b', 'a\0'])('%j is refused', (name) => {
    expect(() => quoteTable(name)).toThrow(/must be a table or schema.table/);
  });
});
