/** Answer: what a reply to one request means, or the lack of one. */

import { failure, type SluiceError } from 'sluice';
import { connectionFailure } from '../connection.js';
import { errorIn, jsonObject } from '../json-object.js';
import { wantsKey } from '../service-flags.js';
import type { PartReceipt } from './ledger.js';

/** What became of one request. */
export type Answer =
  | {
      readonly kind: 'receipt';
      readonly receipt: PartReceipt;
      /** False when the gateway says that no pipeline reads the stream. */
      readonly hasPipeline: boolean;
    }
  | { readonly kind: 'tooLarge'; readonly code: string; readonly message: string }
  | { readonly kind: 'failed'; readonly failure: SluiceError };

/** A reply that arrived whole. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/**
 * Reads a reply of `address`. The class of a failure says how to go on: `transient` nothing was stored, try again; `unknown` it may
 * have been stored; `permanent` the same command again cannot help.
 */
export function readReply({ status, headers, text }: Reply, address: string): Answer {
  const body = jsonObject(text);
  if (isReceipt(body)) return { kind: 'receipt', receipt: body, hasPipeline: headers['sluice-pipeline'] !== 'none' };
  const error = errorIn(body);
  const code = error?.code ?? `HTTP_${status}`;
  const said = error?.message ?? `${address} answered ${status}, without saying why`;
  if (status === 413) return { kind: 'tooLarge', code, message: said };
  if (status === 429 || status === 503) {
    const seconds = Math.min(
      headers['retry-after-ms'] === undefined ? Number(headers['retry-after'] ?? 0) : Number(headers['retry-after-ms']) / 1_000,
      60,
    );
    const retryAfterMs = Number.isFinite(seconds) ? seconds * 1_000 : 0;
    return failed(said, { code, class: 'transient', retryAfterMs });
  }
  // 5xx and time-outs say nothing about whether the events were stored.
  if (status >= 500 || status === 408) return failed(said, { code, class: 'unknown' });
  // The control plane answers 404 in the same form as a gateway, which has none for the events of a stream.
  if (error === undefined || status === 404) {
    return failed(`${address} is not a Sluice gateway (it answered ${status}); give the gateway's address with --url`, {
      code: 'NOT_A_GATEWAY',
      class: 'permanent',
    });
  }
  return failed(status === 401 ? wantsKey : said, { code, class: 'permanent' });
}

/** Reads why a request to `address` has no reply. */
export function readLoss(error: unknown, address: string): Answer {
  return { kind: 'failed', failure: connectionFailure(error, { address, option: '--url' }) };
}

function failed(message: string, options: Parameters<typeof failure>[1]): Answer {
  return { kind: 'failed', failure: failure(message, options) };
}

function isReceipt(body: object | undefined): body is PartReceipt {
  const { accepted, duplicates, rejected, errors } = (body ?? {}) as Partial<PartReceipt>;
  return [accepted, duplicates, rejected].every((count) => typeof count === 'number') && Array.isArray(errors);
}
