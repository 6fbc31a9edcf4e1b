/** catalogue: what PostgreSQL knows of a table: its columns, their types, its keys and checks. */

import type { PoolClient } from 'pg';
import { failure } from '../core/errors.js';

/** How values of a type are written. `'other'`: as text, which the server parses. */
export type Kind =
  | 'bool'
  | 'bytea'
  | 'int2'
  | 'int4'
  | 'int8'
  | 'float4'
  | 'float8'
  | 'numeric'
  | 'text'
  | 'json'
  | 'jsonb'
  | 'date'
  | 'timestamp'
  | 'timestamptz'
  | 'uuid'
  | 'other';

/** A type, domains looked through. */
export interface ColumnType {
  readonly kind: Kind;
  /** Of an array, the kind and the OID of its elements; then `kind` is `'other'`. */
  readonly element?: { readonly kind: Kind; readonly oid: number };
}

/** A column of a table. */
export interface TableColumn {
  readonly name: string;
  readonly type: ColumnType;
  /** As SQL writes it, length and precision included: `character varying(3)`. */
  readonly typeText: string;
  /** The same without length and precision, with which a cast would cut values off; of a domain the type beneath, for the same reason. */
  readonly castText: string;
  /** The type, and collation, that a stage gives it: none but PostgreSQL's own, so that no stage stands in the way of a DROP TYPE. */
  readonly stageText: string;
  /** The type is not one of PostgreSQL's own: a stage holds it as text. */
  readonly isForeign: boolean;
  /** Type and collation are the same in a stage. */
  readonly isAlikeInStage: boolean;
  readonly typeOid: number;
  readonly notNull: boolean;
  readonly hasDefault: boolean;
  /** `GENERATED ALWAYS`: nothing can be written to it. */
  readonly generated: boolean;
  /** ` COLLATE "x"` where it differs from that of the type beneath, else empty. */
  readonly collate: string;
}

/** A table. */
export interface Table {
  /** A condition, as SQL, that holds while the table's name means what was read here. */
  readonly unaltered: string;
  /** As messages of the server name it: without its schema. */
  readonly name: string;
  readonly columns: readonly TableColumn[];
  /** Unique keys that ON CONFLICT can name. */
  readonly keys: readonly Key[];
  /** CHECK constraints that need nothing but what is PostgreSQL's own, as SQL, with the columns that they read. */
  readonly checks: readonly { readonly name: string; readonly sql: string; readonly columns: readonly string[] }[];
  /** COPY is refused where row-level security applies to us, and for views. */
  readonly copyable: boolean;
  /** We may make temporary tables, and functions in PL/pgSQL for them. */
  readonly hasScratch: boolean;
  /** A trigger may change or fill in a row before its constraints are checked. */
  readonly changesRows: boolean;
  /** An ordinary or partitioned table, of whose inserts neither a rule nor a trigger of a user's takes notice. */
  readonly isPlain: boolean;
}

/** A unique key, whole and checked at once. */
export interface Key {
  readonly columns: readonly string[];
  readonly nullsAreEqual: boolean;
  /** The OID of its index. */
  readonly index: string;
}

/** The key of a table on these columns, in whatever order, if there is one. */
export function keyOn({ keys }: Table, names: readonly string[]): Key | undefined {
  return keys.find(({ columns }) => columns.length === names.length && columns.every((name) => names.includes(name)));
}

/**
 * Reads a table from the catalogue. `target` is quoted SQL.
 *
 * @throws SluiceError `PG_42P01`, `blocked`, when it does not exist.
 */
export async function readTable(client: PoolClient, target: string): Promise<Table> {
  const { rows } = await client.query<TableRow>(tableQuery, [target]);
  const row = rows[0];
  if (row === undefined) {
    throw failure(`the table ${target} does not exist; create it, or give postgresSink.createTable.`, {
      code: 'PG_42P01',
      class: 'blocked',
    });
  }
  const { oid, version, literal, columns, ...table } = row;
  const unaltered = `EXISTS (SELECT FROM pg_class c WHERE c.oid = ${oid} AND c.oid = to_regclass(${literal}) AND ${versionOf} = '${version}')`;
  return { ...table, columns: columns.map(columnOf), unaltered };
}

/** What the error of a guard speaks of where the table is not {@link Table.unaltered}. */
export const alteredMark = 'sluice.table_was_altered';

/** A statement that fails with the mark of the first condition that does not hold: an unknown setting is the cheapest error that has a state of its own. */
export function guard(...conditions: readonly (readonly [condition: string, mark: string])[]): string {
  const cases = conditions.map(([condition, mark]) => `WHEN (${condition}) IS NOT TRUE THEN current_setting('${mark}')`);
  return `SELECT CASE ${cases.join(' ')} ELSE '' END`;
}

/** Which transactions wrote the table's own row and those of its columns: types, NOT NULL, the number of CHECKs. */
const versionOf =
  "c.xmin::text || (SELECT string_agg(a.xmin::text, ',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)";

type TableRow = Omit<Table, 'columns' | 'unaltered'> & {
  readonly columns: readonly ColumnRow[];
  readonly oid: string;
  readonly version: string;
  /** The target as text in SQL. */
  readonly literal: string;
};

type ColumnRow = Omit<TableColumn, 'type'> & {
  readonly baseOid: number;
  readonly baseIsEnum: boolean;
  readonly elementOid: number | null;
  readonly elementIsEnum: boolean | null;
};

/** PostgreSQL's own objects have lower OIDs, for ever (transam.h, FirstNormalObjectId). */
const firstForeign = 16_384;

/** ` COLLATE "x"` of column `a` where it differs from what its type, `b`, has. */
const collateText = `coalesce((SELECT format(' COLLATE %I.%I', n.nspname, c.collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
  WHERE c.oid = a.attcollation AND a.attcollation <> b.typcollation), '')`;

/** One statement, so that all of it is of one moment; `to_jsonb` reads what older versions do not have. */
const tableQuery = `
WITH RECURSIVE target AS (SELECT * FROM pg_class WHERE oid = to_regclass($1)),
bases AS (
  SELECT a.attnum, t.oid, t.typtype, t.typbasetype, t.typelem, t.typcategory, t.typcollation
  FROM target JOIN pg_attribute a ON a.attrelid = target.oid JOIN pg_type t ON t.oid = a.atttypid
  UNION ALL
  SELECT b.attnum, t.oid, t.typtype, t.typbasetype, t.typelem, t.typcategory, t.typcollation
  FROM bases b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
)
SELECT target.relname AS name, target.oid::text AS oid, (SELECT ${versionOf} FROM pg_class c WHERE c.oid = target.oid) AS version,
  quote_literal($1) AS literal,
  target.relkind IN ('r', 'p', 'f') AND NOT row_security_active(target.oid) AS copyable,
  has_database_privilege(current_database(), 'TEMPORARY') AND EXISTS (SELECT FROM pg_language WHERE lanname = 'plpgsql') AS "hasScratch",
  EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = target.oid AND NOT g.tgisinternal AND g.tgtype & 7 = 7) AS "changesRows",
  target.relkind IN ('r', 'p') AND NOT target.relhasrules AND NOT EXISTS (SELECT FROM pg_trigger g WHERE NOT g.tgisinternal AND g.tgtype & 4 = 4
    AND g.tgrelid IN (SELECT target.oid UNION ALL SELECT relid FROM pg_partition_tree(target.oid))) AS "isPlain",
  (SELECT jsonb_agg(jsonb_build_object(
      'name', a.attname, 'typeText', format_type(a.atttypid, a.atttypmod), 'castText', format_type(b.oid, -1),
      'stageText', CASE WHEN b.oid >= ${firstForeign} THEN 'text'
        ELSE CASE WHEN b.oid = a.atttypid THEN format_type(a.atttypid, a.atttypmod) ELSE format_type(b.oid, -1) END
          || CASE WHEN a.attcollation < ${firstForeign} THEN ${collateText} ELSE '' END END,
      'isForeign', b.oid >= ${firstForeign}, 'isAlikeInStage', b.oid < ${firstForeign} AND a.attcollation < ${firstForeign},
      'typeOid', a.atttypid::int8, 'notNull', a.attnotnull,
      'hasDefault', a.atthasdef OR a.attidentity <> '', 'generated', a.attgenerated <> '' OR a.attidentity = 'a',
      'collate', ${collateText},
      'baseOid', b.oid::int8, 'baseIsEnum', b.typtype = 'e',
      'elementOid', CASE WHEN b.typcategory = 'A' THEN e.oid::int8 END, 'elementIsEnum', e.typtype = 'e') ORDER BY a.attnum)
    FROM pg_attribute a JOIN bases b ON b.attnum = a.attnum AND b.typtype <> 'd'
      LEFT JOIN pg_type e ON e.oid = b.typelem
    WHERE a.attrelid = target.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  (SELECT coalesce(jsonb_agg(jsonb_build_object(
      'columns', (SELECT jsonb_agg(a.attname) FROM pg_attribute a WHERE a.attrelid = target.oid
        AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])),
      'nullsAreEqual', coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
      'index', i.indexrelid::text)), '[]')
    FROM pg_index i WHERE i.indrelid = target.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
      AND i.indpred IS NULL AND i.indexprs IS NULL) AS keys,
  (SELECT coalesce(jsonb_agg(jsonb_build_object(
      'name', c.conname, 'sql', pg_get_expr(c.conbin, c.conrelid),
      'columns', (SELECT coalesce(jsonb_agg(a.attname), '[]') FROM pg_attribute a WHERE a.attrelid = target.oid AND a.attnum = ANY (c.conkey)))), '[]')
    FROM pg_constraint c WHERE c.conrelid = target.oid AND c.contype = 'c'
      AND coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_constraint'::regclass AND d.objid = c.oid
        AND d.refclassid <> 'pg_class'::regclass AND d.refobjid >= ${firstForeign})) AS checks
FROM target`;

/** OIDs of `pg_type.dat`: fixed for ever. */
const kindByOid: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [16, 'bool'],
  [17, 'bytea'],
  [19, 'text'],
  [20, 'int8'],
  [21, 'int2'],
  [23, 'int4'],
  [25, 'text'],
  [114, 'json'],
  [700, 'float4'],
  [701, 'float8'],
  [1042, 'text'],
  [1043, 'text'],
  [1082, 'date'],
  [1114, 'timestamp'],
  [1184, 'timestamptz'],
  [1700, 'numeric'],
  [2950, 'uuid'],
  [3802, 'jsonb'],
]);

function columnOf({ baseOid, baseIsEnum, elementOid, elementIsEnum, ...column }: ColumnRow): TableColumn {
  const kindOf = (oid: number, isEnum: boolean): Kind => (isEnum ? 'text' : (kindByOid.get(oid) ?? 'other'));
  const type: ColumnType =
    elementOid === null
      ? { kind: kindOf(baseOid, baseIsEnum) }
      : { kind: 'other', element: { kind: kindOf(elementOid, elementIsEnum === true), oid: elementOid } };
  return { ...column, type };
}
