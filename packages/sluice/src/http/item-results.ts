/** Item results: what an answer says of single items. */

import { type FailureClass, failure, type SluiceError } from '../core/errors.js';

/** Of one item: done, or its failure. */
export type ItemResult = SluiceError | undefined;

/** Puts the results of the items that were sent between those that were refused before. */
export function itemResults(refused: readonly ItemResult[], sent: readonly ItemResult[]): (undefined | SluiceError)[] {
  let next = 0;
  return refused.map((problem) => problem ?? sent[next++]);
}

/** What may be done about a status, for a write. */
export function statusClass(status: number): FailureClass {
  if ([408, 425, 429, 503].includes(status)) return 'transient';
  if (status >= 500) return 'unknown';
  // Following a redirect would turn a POST into a GET: the address is wrong. 0: a browser shows no more of it.
  if (status < 400) return 'blocked';
  return [401, 403, 404, 405, 407].includes(status) ? 'blocked' : 'permanent';
}

/**
 * The results that a body names, one for each of `count` items; `undefined` when it names none.
 *
 * @param done whether the items that it does not name are done.
 */
export function namedResults(body: unknown, count: number, done: boolean): readonly ItemResult[] | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { errors, results } = body as { readonly errors?: unknown; readonly results?: unknown };
  if (Array.isArray(results)) {
    if (results.length === count) return results.map((result: unknown) => resultFailure(result));
    throw failure(`expected ${count} results, got ${results.length}`, { code: 'RESULT_LENGTH_MISMATCH', class: 'unknown' });
  }
  if (!Array.isArray(errors)) return undefined;
  const named = new Map<number, SluiceError>();
  for (const error of errors as readonly unknown[]) {
    const { index } = (error ?? {}) as { readonly index?: unknown };
    if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index >= count)
      throw failure(`the answer names an item that was not sent: ${String(index)}`, { code: 'BAD_RESPONSE', class: 'unknown' });
    named.set(index, entryFailure(error as Entry, 422));
  }
  if (!done && named.size < count) return undefined;
  return Array.from({ length: count }, (_, index) => named.get(index));
}

interface Entry {
  readonly status?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly error?: unknown;
}

function resultFailure(result: unknown): ItemResult {
  if (typeof result !== 'object' || result === null) return undefined;
  const entry = result as Entry;
  const status = typeof entry.status === 'number' ? entry.status : 200;
  return status >= 400 || (entry.error !== undefined && entry.error !== null)
    ? entryFailure(entry, status >= 400 ? status : 422)
    : undefined;
}

function entryFailure({ status, code, message, error }: Entry, fallback: number): SluiceError {
  const inner = (typeof error === 'object' && error !== null ? error : {}) as Entry;
  const text = [message, inner.message, error].find((one) => typeof one === 'string') as string | undefined;
  const name = [code, inner.code].find((one) => typeof one === 'string') as string | undefined;
  const said = typeof status === 'number' ? status : fallback;
  // An item that the receiver may not take is that item's own trouble, not the service's.
  const itemClass = statusClass(said);
  return failure(`the receiver refused it: ${(text ?? `status ${said}`).slice(0, 500)}`, {
    code: name ?? 'REFUSED',
    class: itemClass === 'blocked' ? 'permanent' : itemClass,
  });
}
