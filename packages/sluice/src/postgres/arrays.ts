/** arrays: rows turned into one array literal a column, for unnest(). Pure. */

import { quotedElement } from './field-text.js';
import type { Fields } from './rows.js';

/** The parameters of `insertArrays`: for each column an array of the rows' fields. */
export function columnArrays(fields: readonly Fields[], columns: number): string[] {
  return Array.from({ length: columns }, (_, at) => {
    let text = '{';
    for (const row of fields) {
      const field = row[at]!;
      text += `${text.length === 1 ? '' : ','}${field === null ? 'NULL' : quotedElement(field)}`;
    }
    return `${text}}`;
  });
}
