/**
 * Events route: `POST /v1/streams/:stream/events`, on `node:http` itself. A framework's hooks and reply cost as much as all else of
 * a small request does, and this is the request of which there are many; every other route is fastify's.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log, Position } from 'sluice/log';
import type { Admission, Entry, Refused } from './admission.js';
import { type BodyAllowance, type BodyListener, type HeldBody, readBody } from './body.js';
import type { Callers } from './caller.js';
import { envelopeOf, isBinaryCloudEvent } from './cloud-event.js';
import { type Settled, whenCommitted } from './committed.js';
import { whenGone } from './departure.js';
import type { EventOptions } from './event.js';
import { createTargets, isEventsUrl, type Target, type Targets } from './events-target.js';
import { HttpError, overloaded, tooMany } from './http-error.js';
import { letterNames } from './letter-names.js';
import type { GatewayLimits } from './limits.js';
import { type BodyFormat, bodyFormat, isGzip } from './media-type.js';
import { type Receipt, receiptStatus } from './receipt.js';
import { type Stored, type StoreListener, store } from './receive.js';
import { splitItems } from './split.js';
import type { StreamSchema } from './stream-schemas.js';
import { traceparent } from './trace.js';

/** What the route is made of. */
export interface EventsRouteParts {
  readonly log: Log;
  readonly settled: ((stream: string) => Settled | undefined) | undefined;
  /** The groups that read a stream: dead letters are named by them. Default: none is known. */
  readonly groups?: ((stream: string) => readonly string[]) | undefined;
  /** What is known of a stream. Default: nothing. */
  readonly streams?: ((stream: string) => StreamRules | undefined) | undefined;
  readonly limits: GatewayLimits;
  readonly allowance: BodyAllowance;
  readonly ackTimeoutMs: () => number;
  readonly callers: Callers;
  readonly admission: Admission;
  /** While the log holds as much as it may, how long that is likely to last. Default: never. */
  readonly logFullForMs?: (() => number | undefined) | undefined;
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

/** Answers requests, each once. */
export interface Reply {
  answer(response: ServerResponse, answer: Answer): void;
  /** `thrown` is an `HttpError`, or what nobody expected. */
  fail(response: ServerResponse, thrown: unknown): void;
}

/**
 * Makes the route.
 *
 * @returns a function that begins a request, and throws an `HttpError` when it can be refused without its body; else `reply` is told.
 */
export function createEventsRoute(
  parts: EventsRouteParts,
  reply: Reply,
): (request: IncomingMessage, response: ServerResponse) => void {
  const route: Route = { ...parts, targets: createTargets(), reply };
  return (request, response) => new Exchange(route, request, response).begin();
}

interface Route extends EventsRouteParts {
  readonly targets: Targets;
  readonly reply: Reply;
}

/**
 * A request on its way from its headers to its receipt.
 *
 * A class, and the listener of each step, because there are many: what a chain of promises would hold for each survives until the events
 * are on disk, and is copied by the garbage collector meanwhile.
 */
class Exchange implements BodyListener, StoreListener {
  readonly #route: Route;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #target!: Target;
  #wait: Settled | undefined;
  #event!: EventOptions;
  #format: BodyFormat = 'json';
  #binary = false;
  #entry!: Entry;
  #body!: HeldBody;

  constructor(route: Route, request: IncomingMessage, response: ServerResponse) {
    this.#route = route;
    this.#request = request;
    this.#response = response;
  }

  /** Looks at all that the headers say, then asks for the body. */
  begin(): void {
    const { settled, streams, limits, allowance, callers, admission, targets, logFullForMs } = this.#route;
    const { headers } = this.#request;
    const { tenant } = callers.of(headers, 'write');
    this.#target = targets.of(this.#request.url!);
    const { stream, ack, ids } = this.#target;
    this.#wait = settled?.(stream);
    if (ack === 'committed' && this.#wait === undefined) throw noPipeline(stream);
    this.#binary = isBinaryCloudEvent(headers);
    this.#format = this.#binary ? 'cloudevent' : bodyFormat(headers['content-type']);
    const gzip = isGzip(headers['content-encoding']);
    const fullForMs = logFullForMs?.();
    if (fullForMs !== undefined) throw logFull(fullForMs);
    this.#entry = letIn(admission, tenant, Number(headers['content-length'] ?? 0));
    whenGone(this.#response, this.#entry.leave);
    const about = streams?.(stream);
    this.#event = {
      idSource: ids,
      tenant,
      receivedAt: Date.now(),
      limits,
      cloudEvents: this.#format === 'cloudevent' || this.#format === 'cloudevents',
      keyField: about?.keyField,
      schema: about?.schema,
      trace: traceparent(headers.traceparent),
      idempotencyKey: idempotencyKey(headers['idempotency-key']),
    };
    this.#body = readBody(this.#request, gzip, limits, allowance, this);
  }

  onBody(received: Buffer): void {
    const { log, limits } = this.#route;
    const { stream, ack } = this.#target;
    try {
      const body = this.#binary ? envelopeOf(this.#request.headers, received, limits) : received;
      const items = this.#binary ? [body] : splitItems(body, this.#format, limits.maxItems);
      refuseIf(this.#entry.take(items.length), this.#event.tenant);
      const level = ack === 'accepted' ? 'accepted' : 'durable';
      store(items, body, { log, stream, level, event: this.#event }, this);
    } catch (error) {
      this.onNotStored(error);
    }
  }

  onBodyFailed(error: HttpError): void {
    this.#fail(error);
  }

  onNotStored(error: unknown): void {
    this.#body.release();
    this.#fail(error);
  }

  onStored(stored: Stored): void {
    this.#body.release();
    this.#entry.stored();
    if (this.#target.ack === 'committed') this.#commit(stored);
    else this.#answer(stored.receipt);
  }

  #commit(stored: Stored): void {
    const { log, groups, ackTimeoutMs } = this.#route;
    const { stream } = this.#target;
    const options = {
      settled: this.#wait!,
      lettersOf: (record: Position) => letterNames(log, stream, groups?.(stream) ?? [], record),
      ackTimeoutMs: ackTimeoutMs(),
      onGone: (fn: () => void) => whenGone(this.#response, fn),
    };
    whenCommitted(stored, options).then(
      (receipt) => this.#answer(receipt),
      (error) => this.#fail(error),
    );
  }

  #answer(receipt: Receipt): void {
    this.#route.onReceipt(receipt);
    // Nothing is wrong with that, but who mistyped the name of a stream learns of it.
    const headers = this.#wait === undefined ? notRead : undefined;
    const answer = { status: receiptStatus(receipt, this.#target.ack), body: JSON.stringify(receipt), headers };
    this.#route.reply.answer(this.#response, answer);
  }

  #fail(error: unknown): void {
    this.#route.reply.fail(this.#response, error);
  }
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

function logFull(forMs: number): HttpError {
  const message =
    'the log holds as many bytes as it may (log.maxBytes); nothing of this request was stored; send it again after Retry-After';
  return overloaded('LOG_FULL', message, forMs);
}

function letIn(admission: Admission, tenant: string, bytes: number): Entry {
  const entry = admission.enter(tenant, bytes);
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
