/** Table: rows in aligned columns, for people. */

import { plain } from './log/print.js';

/** A cell: text, or a number, which is aligned to the right. */
export type Cell = string | number;

/** A column. */
export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => Cell;
  /** How the text is coloured, after it was aligned. */
  readonly ink?: (text: string, row: Row) => string;
}

/** Rows as lines under their titles. What a terminal would act on is escaped. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map(({ cell }) => cell(row)));
  const texts = cells.map((line) => line.map(cellText));
  const widths = columns.map(({ title }, i) => Math.max(width(title), ...texts.map((line) => width(line[i]!))));
  const isNumber = columns.map((_, i) => cells.some((line) => typeof line[i] === 'number'));
  const aligned = (text: string, i: number): string => {
    const space = ' '.repeat(widths[i]! - width(text));
    return isNumber[i] ? space + text : i === columns.length - 1 ? text : text + space;
  };
  const head = columns.map(({ title }, i) => aligned(title, i)).join('  ');
  const lines = texts.map((line, at) => line.map((text, i) => ink(columns[i]!, aligned(text, i), rows[at]!)).join('  '));
  return [head, ...lines].map((line) => `${line.trimEnd()}\n`).join('');
}

function cellText(cell: Cell): string {
  return typeof cell === 'number' ? cell.toLocaleString('en') : plain(cell);
}

/** Characters, not UTF-16 units. */
function width(text: string): number {
  return [...text].length;
}

function ink<Row>(column: Column<Row>, text: string, row: Row): string {
  return column.ink === undefined ? text : column.ink(text, row);
}
