/**
 * Events route: `POST /v1/streams/:stream/events`, on `node:http` itself. A framework's hooks and reply cost as much as all else of
 * a small request does, and this is the request of which there are many; every other route is fastify's.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from 'sluice/log';
import type { Admission, Entry, Refused } from './admission.js';
import { type BodyAllowance, withBody } from './body.js';
import type { Callers } from './caller.js';
import { envelopeOf, isBinaryCloudEvent } from './cloud-event.js';
import { whenGone } from './departure.js';
import { createTargets, isEventsUrl } from './events-target.js';
import { HttpError, overloaded, tooMany } from './http-error.js';
import type { GatewayLimits } from './limits.js';
import { bodyFormat, isGzip } from './media-type.js';
import { type Receipt, receiptStatus } from './receipt.js';
import { type Settled, type Stored, store, whenCommitted } from './receive.js';
import { splitItems } from './split.js';
import type { StreamSchema } from './stream-schemas.js';
import { traceparent } from './trace.js';

/** What the route is made of. */
export interface EventsRouteParts {
  readonly log: Log;
  readonly settled: ((stream: string) => Settled | undefined) | undefined;
  /** What is known of a stream. Default: nothing. */
  readonly streams?: ((stream: string) => StreamRules | undefined) | undefined;
  readonly limits: GatewayLimits;
  readonly allowance: BodyAllowance;
  readonly ackTimeoutMs: () => number;
  readonly callers: Callers;
  readonly admission: Admission;
  /** The log holds as much as it may. Default: never. */
  readonly isLogFull?: (() => boolean) | undefined;
  /** Told of each receipt. */
  readonly onReceipt: (receipt: Receipt) => void;
}

/** What is known of a stream. */
export interface StreamRules {
  readonly keyField?: string | undefined;
  readonly schema?: StreamSchema | undefined;
}

/** What a request is answered with. */
export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Whether a request is one for this route. */
export function isEventsRequest({ method, url = '' }: IncomingMessage): boolean {
  return method === 'POST' && isEventsUrl(url);
}

/**
 * Makes the route.
 *
 * @returns a function that answers a request, or rejects with an `HttpError`.
 */
export function createEventsRoute(
  parts: EventsRouteParts,
): (request: IncomingMessage, response: ServerResponse) => Promise<Answer> {
  const { log, settled, streams, limits, allowance, ackTimeoutMs, callers, admission } = parts;
  const targets = createTargets();
  const commit = (stored: Stored, wait: Settled, response: ServerResponse) =>
    whenCommitted(stored, {
      settled: wait,
      ackTimeoutMs: ackTimeoutMs(),
      onGone: (fn) => whenGone(response, fn),
    });
  return async (request, response) => {
    const { headers } = request;
    const { tenant } = callers.of(headers, 'write');
    const { stream, ack, ids } = targets.of(request.url!);
    const wait = settled?.(stream);
    if (ack === 'committed' && wait === undefined) throw noPipeline(stream);
    const binary = isBinaryCloudEvent(headers);
    const format = binary ? 'cloudevent' : bodyFormat(headers['content-type']);
    const gzip = isGzip(headers['content-encoding']);
    if (parts.isLogFull?.() === true) throw logFull();
    const entry = letIn(admission, tenant);
    whenGone(response, entry.leave);
    const about = streams?.(stream);
    const event = {
      idSource: ids,
      tenant,
      receivedAt: Date.now(),
      limits,
      cloudEvents: format === 'cloudevent' || format === 'cloudevents',
      keyField: about?.keyField,
      schema: about?.schema,
      trace: traceparent(headers.traceparent),
      idempotencyKey: idempotencyKey(headers['idempotency-key']),
    };
    const level = ack === 'accepted' ? 'accepted' : 'durable';
    const stored = await withBody(request, gzip, limits, allowance, (received) => {
      const body = binary ? envelopeOf(headers, received, limits) : received;
      const items = binary ? [body] : splitItems(body, format, limits.maxItems);
      refuseIf(entry.take(items.length), tenant);
      return store(items, body, { log, stream, level, event });
    });
    entry.stored();
    const receipt = ack === 'committed' ? await commit(stored, wait!, response) : stored.receipt;
    parts.onReceipt(receipt);
    // Nothing is wrong with that, but who mistyped the name of a stream learns of it.
    const hint = wait === undefined ? notRead : undefined;
    return { status: receiptStatus(receipt, ack), body: JSON.stringify(receipt), headers: hint };
  };
}

const notRead = { 'sluice-pipeline': 'none' };

function noPipeline(stream: string): HttpError {
  const message = `no pipeline reads the stream ${stream}, so that committed can never be reached; ask for durable`;
  return new HttpError(400, 'NO_PIPELINE', message);
}

/**
 * The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the same request again is a duplicate, item by item, though
 * its items have no ids.
 */
function idempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === 'string' && /^[\x21-\x7e]{1,255}$/.test(header)) return header;
  throw new HttpError(400, 'INVALID_IDEMPOTENCY_KEY', 'expected Idempotency-Key to be 1 to 255 visible characters of ASCII');
}

function logFull(): HttpError {
  const message =
    'the log holds as many bytes as it may (log.maxBytes); nothing of this request was stored; send it again after Retry-After';
  return overloaded('LOG_FULL', message, 10_000);
}

function letIn(admission: Admission, tenant: string): Entry {
  const entry = admission.enter(tenant);
  if ('reason' in entry) refuseIf(entry, tenant);
  return entry as Entry;
}

const refusals: Readonly<Record<Refused['reason'], string>> = {
  rate: 'it sends more items a second than it may',
  requests: 'it has as many requests under way as it may',
  items: 'it has as many items under way as it may',
  share: 'the service is busy, and it has its share of what may be under way',
  full: 'as many items are under way as the log takes in time',
};

/** What the service cannot take is 503; what this tenant may not, while others may, is 429. */
function refuseIf(refused: Refused | undefined, tenant: string): void {
  if (refused === undefined) return;
  const { reason, retryAfterMs } = refused;
  const rest = `${refusals[reason]}; nothing of this request was stored; send it again after Retry-After`;
  if (reason === 'full') throw overloaded('OVERLOADED', rest, retryAfterMs);
  throw tooMany(`the tenant ${tenant}: ${rest}`, retryAfterMs);
}
