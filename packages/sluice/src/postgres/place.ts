/** place: rows put into the target by the server itself, in halves, where it does not name the row that it refuses. */

import type { PoolClient } from 'pg';
import type { Table, TableColumn } from './catalogue.js';
import { permanentStates, policyState } from './classify.js';
import { atStart, copyIn } from './copy.js';
import type { ConflictRule } from './options.js';
import { copyLine, type Fields, textChunks } from './rows.js';
import { insertFrom, ordinalName, quoteName } from './sql.js';

/** A row that the server refused, as an error of `pg` would tell it. */
export interface RefusedRow {
  /** Its place among the rows that were given. */
  readonly row: number;
  readonly code: string;
  readonly severity: string;
  readonly message: string;
  readonly constraint?: string;
  readonly column?: string;
  readonly table?: string;
}

/** Puts rows into the target, row by row where need be; runs in an open transaction. */
export type PlaceRows = (client: PoolClient, fields: readonly Fields[], halt: boolean) => Promise<readonly RefusedRow[]>;

/**
 * All rows are copied, as text, into a temporary table; a function, temporary too, tries groups of 64 rows in subtransactions of their
 * own and halves a group that fails, until a bad row stands alone: about 12 statements a bad row, all of them on the server, and two
 * round trips in all.
 *
 * Deferred constraints are checked at once. A row that lacks its parent is tried again after all others, because the parent may be
 * among them. With `halt` it stops at the first bad row, the last one in the answer. A row that is answered with {@link policyState} may
 * be good: what tells a policy from a missing right, a function cannot see.
 */
export function placerFor(
  target: string,
  table: Table,
  columns: readonly TableColumn[],
  conflict: ConflictRule | undefined,
): PlaceRows {
  const ordinal = quoteName(ordinalName(columns));
  const names = columns.map(({ name }) => quoteName(name)).join(', ');
  const insert = insertFrom(target, table, columns, conflict, {
    from: '(SELECT * FROM pg_temp.sluice_rows WHERE sluice_rows.n >= $1 AND sluice_rows.n < $2) AS s',
    values: ({ name, castText }) => `s.${quoteName(name)}::${castText}`,
    ordinal: `s.${ordinal}`,
  }).replaceAll('sluice_rows.n', `sluice_rows.${ordinal}`);
  const prepare = [
    `CREATE TEMPORARY TABLE sluice_rows (${ordinal} int PRIMARY KEY, ${columns.map(({ name }) => `${quoteName(name)} text`).join(', ')}) ON COMMIT DROP`,
    'CREATE TEMPORARY TABLE sluice_refused (n int, code text, message text, "constraint" text, "column" text, "table" text) ON COMMIT DROP',
    placeFunction(insert),
    runFunction,
    'SET CONSTRAINTS ALL IMMEDIATE',
    `COPY pg_temp.sluice_rows (${ordinal}, ${names}) FROM STDIN (FORMAT text, ENCODING 'UTF8')`,
  ].join('; ');
  const clear =
    'DROP FUNCTION pg_temp.sluice_run(int, boolean); DROP FUNCTION pg_temp.sluice_place(int, int, boolean); DROP TABLE pg_temp.sluice_rows, pg_temp.sluice_refused';

  return async (client, fields, halt) => {
    const chunks = textChunks(fields.map((row, at) => `${at}\t${copyLine(row)}`));
    await copyIn(client, { sql: prepare, parts: [chunks], ending: 'continues' }, atStart());
    await client.query('SELECT pg_temp.sluice_run($1, $2)', [fields.length, halt]);
    const { rows } = await client.query<RefusedRow>(
      `SELECT n AS row, code, 'ERROR' AS severity, message, "constraint", "column", "table" FROM pg_temp.sluice_refused ORDER BY n`,
    );
    await client.query(clear);
    return rows;
  };
}

/** Tries the rows from `low` up to `high`; false once a row was refused and the caller wants to stop there. */
function placeFunction(insert: string): string {
  let quote = '$sluice$';
  while (insert.includes(quote)) quote = quote.replace(/\$$/, '_$');
  return `CREATE FUNCTION pg_temp.sluice_place(low int, high int, halt boolean) RETURNS boolean LANGUAGE plpgsql AS ${quote}
#variable_conflict use_column
DECLARE
  middle int;
  state text; problem text; broken text; field text; relation text;
BEGIN
  BEGIN
    ${insert};
    RETURN true;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, problem = MESSAGE_TEXT, broken = CONSTRAINT_NAME, field = COLUMN_NAME, relation = TABLE_NAME;
    IF state !~ '${permanentStates}' AND state <> '${policyState}' THEN RAISE; END IF;
  END;
  IF high - low = 1 THEN
    INSERT INTO pg_temp.sluice_refused VALUES (low, state, problem, nullif(broken, ''), nullif(field, ''), nullif(relation, ''));
    RETURN NOT halt;
  END IF;
  middle := (low + high) / 2;
  IF NOT pg_temp.sluice_place(low, middle, halt) THEN RETURN false; END IF;
  RETURN pg_temp.sluice_place(middle, high, halt);
END ${quote}`;
}

const runFunction = `CREATE FUNCTION pg_temp.sluice_run(total int, halt boolean) RETURNS void LANGUAGE plpgsql AS $sluice$
DECLARE
  low int := 0;
  orphans int[];
  orphan int;
BEGIN
  WHILE low < total LOOP
    IF NOT pg_temp.sluice_place(low, least(low + 64, total), halt) THEN RETURN; END IF;
    low := low + 64;
  END LOOP;
  LOOP
    SELECT array_agg(n ORDER BY n) INTO orphans FROM pg_temp.sluice_refused WHERE code = '23503';
    IF orphans IS NULL THEN RETURN; END IF;
    DELETE FROM pg_temp.sluice_refused WHERE code = '23503';
    FOREACH orphan IN ARRAY orphans LOOP
      PERFORM pg_temp.sluice_place(orphan, orphan + 1, false);
    END LOOP;
    IF cardinality(orphans) = (SELECT count(*) FROM pg_temp.sluice_refused WHERE code = '23503') THEN RETURN; END IF;
  END LOOP;
END $sluice$`;
