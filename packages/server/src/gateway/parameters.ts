/** Parameters: which names and flags the query of a request may have. A mistyped one must not mean its default. */

import { nearest } from '../config/suggest.js';
import { HttpError } from './http-error.js';

/**
 * Refuses a name that the route does not know.
 *
 * @param given the names of the query, or the query.
 * @throws HttpError 400 `UNKNOWN_PARAMETER`, with what was probably meant.
 */
export function checkParameters(given: Iterable<string> | Readonly<Record<string, unknown>>, known: readonly string[]): void {
  for (const name of Symbol.iterator in given ? (given as Iterable<string>) : Object.keys(given)) {
    if (known.includes(name)) continue;
    const near = nearest(name.slice(0, 40), known);
    const hint =
      near !== undefined ? `did you mean ${near}?` : known.length === 0 ? 'it takes none' : `there are ${known.join(', ')}`;
    throw new HttpError(400, 'UNKNOWN_PARAMETER', `there is no parameter ${JSON.stringify(name.slice(0, 40))} here; ${hint}`);
  }
}

/**
 * A flag of a query: `true`, or its name alone, sets it.
 *
 * @throws HttpError 400 `INVALID_QUERY` for anything but true and false.
 */
export function isSet(name: string, value: string | undefined): boolean {
  if (value === undefined || value === 'false') return false;
  if (value === 'true' || value === '') return true;
  throw new HttpError(400, 'INVALID_QUERY', `expected ${name} to be true or false`);
}
