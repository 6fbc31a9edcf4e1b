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
import { signalOf, whenGone } from './departure.js';
import { idSource } from './event-id.js';
import { HttpError, overloaded, tooMany } from './http-error.js';
import type { GatewayLimits } from './limits.js';
import { bodyFormat, isGzip } from './media-type.js';
import { type AckLevel, ackLevels, type Receipt, receiptStatus } from './receipt.js';
import { receive, type Settled } from './receive.js';
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
  readonly headers?: Readonly<Record<string, string>>;
}

/** Whether a request is one for this route. */
export function isEventsRequest({ method, url = '' }: IncomingMessage): boolean {
  return method === 'POST' && url.startsWith(prefix) && streamOf(url) !== undefined;
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
  return async (request, response) => {
    const { headers } = request;
    const { tenant } = callers.of(headers, 'write');
    const { stream, ack, id } = target(request.url!);
    const wait = settled?.(stream);
    if (ack === 'committed' && wait === undefined) {
      throw new HttpError(
        400,
        'NO_PIPELINE',
        `no pipeline reads the stream ${stream}, so that committed can never be reached; ask for durable`,
      );
    }
    const binary = isBinaryCloudEvent(headers);
    const format = binary ? 'cloudevent' : bodyFormat(headers['content-type']);
    const gzip = isGzip(headers['content-encoding']);
    if (parts.isLogFull?.() === true) throw logFull();
    const entry = letIn(admission, tenant);
    whenGone(response, entry.leave);
    const about = streams?.(stream);
    const event = {
      ...{ idSource: idSource(id), tenant, receivedAt: Date.now(), limits },
      cloudEvents: format === 'cloudevent' || format === 'cloudevents',
      keyField: about?.keyField,
      schema: about?.schema,
      trace: traceparent(headers.traceparent),
      idempotencyKey: idempotencyKey(headers['idempotency-key']),
    };
    const receipt = await withBody(request, gzip, limits, allowance, (body) => {
      const items = binary ? [envelopeOf(headers, body, limits)] : splitItems(body, format, limits.maxItems);
      refuseIf(entry.take(items.length), tenant);
      return receive(items, {
        ...{ log, stream, ack, settled: wait, ackTimeoutMs: ackTimeoutMs(), event },
        onStored: entry.stored,
        signal: () => signalOf(response),
      });
    });
    parts.onReceipt(receipt);
    return {
      status: receiptStatus(receipt, ack),
      body: JSON.stringify(receipt),
      // Nothing is wrong with that, but who mistyped the name of a stream learns of it.
      ...(wait === undefined ? { headers: { 'sluice-pipeline': 'none' } } : {}),
    };
  };
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

const prefix = '/v1/streams/';
const suffix = '/events';

/** The stream of a URL as it is written there. */
function streamOf(url: string): string | undefined {
  const query = url.indexOf('?');
  const end = (query === -1 ? url.length : query) - suffix.length;
  if (end <= prefix.length || !url.startsWith(suffix, end)) return undefined;
  const stream = url.slice(prefix.length, end);
  return stream.includes('/') ? undefined : stream;
}

function target(url: string): { readonly stream: string; readonly ack: AckLevel; readonly id: string | undefined } {
  const stream = decoded(streamOf(url)!);
  // URL libraries take `.` and `..` out of a path: such a stream could be written and never found again.
  if (!/^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,128}$/.test(stream)) {
    throw new HttpError(
      400,
      'INVALID_STREAM',
      'expected a stream name of 1 to 128 letters, digits, dots, hyphens and underscores, other than . and ..',
    );
  }
  const query = url.indexOf('?');
  if (query === -1) return { stream, ack: 'durable', id: undefined };
  const parameters = new URLSearchParams(url.slice(query + 1));
  const ack = parameters.get('ack') ?? 'durable';
  if (!ackLevels.includes(ack as AckLevel)) {
    throw new HttpError(
      400,
      'INVALID_ACK',
      `expected ack to be one of ${ackLevels.join(', ')}; got ${JSON.stringify(ack.slice(0, 40))}`,
    );
  }
  const id = parameters.get('id') ?? undefined;
  if (id === '') throw new HttpError(400, 'INVALID_ID_FIELD', 'expected id to name a field, or to be hash; it is empty');
  return { stream, ack: ack as AckLevel, id };
}

function decoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new HttpError(400, 'INVALID_URL', 'the path of the URL is not valid percent-encoded UTF-8');
  }
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
