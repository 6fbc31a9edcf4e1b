/** mapping: which columns are written and where their values come from, checked against the catalogue. */

import { failure, type SluiceError, shorten } from '../core/errors.js';
import { isNear } from '../core/options.js';
import { keyOn, type Table, type TableColumn } from './catalogue.js';
import type { PostgresSinkOptions, PostgresValue } from './options.js';
import type { WrittenColumn } from './rows.js';

/**
 * The columns to write, in order.
 *
 * @throws SluiceError `COLUMN_MISMATCH`, `blocked`, which names the column: it is not in the table, cannot be written, is needed but
 * not written, or no unique key fits the conflict rule.
 */
export function mapColumns<T>(
  table: Table,
  options: Pick<PostgresSinkOptions<T>, 'columns' | 'conflict'>,
): readonly WrittenColumn<T>[] {
  const { columns, conflict } = options;
  const written = columns === undefined ? inferred<T>(table) : given<T>(table, columns);
  if (written.length === 0) {
    throw mismatch(`the table ${table.name} has no column without a default; name those to write in postgresSink.columns.`);
  }
  const missing = table.columns.find(
    (column) => column.notNull && !column.hasDefault && !column.generated && !written.some(({ name }) => name === column.name),
  );
  if (missing !== undefined && !table.changesRows && table.copyable) {
    throw mismatch(
      `the column ${missing.name} of ${table.name} must not be null and has no default; add it to postgresSink.columns.`,
    );
  }
  if (conflict !== undefined) checkKey(table, written, conflict.columns, conflict.set ?? []);
  return written;
}

/** Columns with a default are left to it: an item that lacks the member must not turn it into NULL. */
function inferred<T>(table: Table): readonly WrittenColumn<T>[] {
  return table.columns
    .filter(({ generated, hasDefault }) => !generated && !hasDefault)
    .map((column) => ({ ...column, value: member<T>(column.name) }));
}

function member<T>(name: string): (item: T) => PostgresValue {
  const camel = name.replace(/_([a-z\d])/g, (_, letter: string) => letter.toUpperCase());
  return (item) => {
    const members = item as Readonly<Record<string, PostgresValue>>;
    return members[name] !== undefined || camel === name ? members[name] : members[camel];
  };
}

function given<T>(table: Table, columns: NonNullable<PostgresSinkOptions<T>['columns']>): readonly WrittenColumn<T>[] {
  const list: readonly (readonly [string, (item: T) => PostgresValue])[] = isList(columns)
    ? columns.map((name) => [name, member<T>(name)] as const)
    : Object.entries(columns).map(([name, column]) => [name, typeof column === 'function' ? column : column.value] as const);
  return list.map(([name, value]) => {
    const column = table.columns.find((candidate) => candidate.name === name);
    if (column === undefined) throw unknownColumn(table, name);
    if (column.generated) {
      throw mismatch(`the column ${name} of ${table.name} is GENERATED ALWAYS and cannot be written; leave it out.`);
    }
    return { ...column, value };
  });
}

/** Array.isArray does not tell a readonly array from an object. */
function isList(columns: object): columns is readonly string[] {
  return Array.isArray(columns);
}

function checkKey(table: Table, written: readonly TableColumn[], key: readonly string[], set: readonly string[]): void {
  for (const name of [...key, ...set]) {
    if (!table.columns.some((column) => column.name === name)) throw unknownColumn(table, name);
    if (written.some((column) => column.name === name)) continue;
    throw mismatch(`the column ${name} of postgresSink.conflict is not written; name it in postgresSink.columns.`);
  }
  if (keyOn(table, key) !== undefined) return;
  const known = table.keys.map(({ columns }) => `(${columns.join(', ')})`).join(', ');
  throw mismatch(
    `the table ${table.name} has no unique key on (${key.join(', ')}) for postgresSink.conflict; ${known === '' ? 'it has none at all' : `it has ${known}`}. A partial, deferrable or expression index does not serve.`,
  );
}

function unknownColumn(table: Table, name: string): SluiceError {
  const folded = (text: string) => text.toLowerCase().replaceAll('_', '');
  // The fewest letters that must change, two at most.
  const near = [0, 1, 2].flatMap((edits) =>
    table.columns.filter((column) => isNear(folded(name), folded(column.name), edits)),
  )[0];
  const hint =
    near === undefined ? `it has ${table.columns.map((column) => column.name).join(', ')}` : `did you mean ${near.name}?`;
  return mismatch(`the table ${table.name} has no column ${shorten(name)}; ${hint}`);
}

function mismatch(message: string): SluiceError {
  return failure(message, { code: 'COLUMN_MISMATCH', class: 'blocked' });
}

/** The types that the user expects, by column, to compare with the table's. */
export function expectedTypes<T>(columns: PostgresSinkOptions<T>['columns']): readonly (readonly [name: string, type: string])[] {
  if (columns === undefined || isList(columns)) return [];
  return Object.entries(columns).flatMap(([name, column]) =>
    typeof column === 'function' || column.type === undefined ? [] : [[name, column.type] as const],
  );
}

/** The error of a column whose type is not the expected one. */
export function wrongType(table: Table, column: TableColumn, expected: string): SluiceError {
  return mismatch(
    `the column ${column.name} of ${table.name} is ${column.typeText}, but postgresSink.columns.${column.name}.type says ${expected}.`,
  );
}
