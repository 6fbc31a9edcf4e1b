/** Sink answer: what the answer to a batch means, as a whole and for each item. */

import { failure, type SluiceError } from '../core/errors.js';
import { bodyText } from './body-text.js';
import { type ItemResult, namedResults, statusClass } from './item-results.js';
import { retryAfterMs } from './retry-after.js';

/**
 * Reads the answer to a batch of `count` items.
 *
 * @returns one result for each item.
 * @throws SluiceError what became of the whole batch: `HTTP_STATUS`, `BAD_RESPONSE`, `RESULT_LENGTH_MISMATCH`.
 */
export async function readAnswer(
  response: Response,
  count: number,
  maxBytes: number,
  wallMs: number,
): Promise<readonly ItemResult[]> {
  const { status, ok } = response;
  const text = await bodyText(response, maxBytes).catch(() => undefined);
  const named =
    (ok || statusClass(status) === 'permanent') && text !== undefined ? namedResults(parsed(text), count, ok) : undefined;
  if (named !== undefined) return named;
  if (status === 207)
    throw failure('the receiver answered 207 without a result for each item', { code: 'BAD_RESPONSE', class: 'unknown' });
  if (ok) return Array.from({ length: count }, () => undefined);
  const later = retryAfterMs(response.headers.get('retry-after'), wallMs);
  throw failure(`the receiver answered ${status}${text === undefined || text === '' ? '' : `: ${text.slice(0, 200)}`}`, {
    code: 'HTTP_STATUS',
    class: statusClass(status),
    ...(later === undefined ? {} : { retryAfterMs: later }),
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Nothing was sent when there was no connection. */
const neverSent = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'];

/** What a request that brought no answer means. `fetch` says only "fetch failed"; what happened is in its cause. */
export function unreachableFailure(origin: string, thrown: unknown): SluiceError {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
  const inner = (cause as AggregateError).errors?.[0] as { readonly code?: string } | undefined;
  const code = (cause as { readonly code?: string }).code ?? inner?.code ?? '';
  const why = cause instanceof Error && cause.message !== '' ? cause.message : code || String(cause);
  return failure(`no answer from ${origin}: ${why}`, {
    code: 'UNREACHABLE',
    class: neverSent.includes(code) ? 'transient' : 'unknown',
    cause: thrown,
  });
}
