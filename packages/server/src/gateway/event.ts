/** Event: one item of a request, checked and named, or refused with a reason. */

import type { NewEvent } from 'sluice/log';
import type { BodyText } from './body-text.js';
import { cloudEventId, cloudEventProblem } from './cloud-event.js';
import { type FoundId, findId, type IdSource, maxIdBytes } from './event-id.js';
import { isEventTime } from './event-time.js';
import type { GatewayLimits } from './limits.js';
import type { StreamSchema } from './stream-schemas.js';
import { isTooDeep, textProblem } from './text.js';
import { traceparent } from './trace.js';
import { uuidV7 } from './uuid-v7.js';

/** Why an item was refused. The codes are public. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
}

/** The codes of refused items. */
export type RefusalCode =
  | 'INVALID_CLOUDEVENT'
  | 'INVALID_ID'
  | 'INVALID_JSON'
  | 'INVALID_KEY'
  | 'INVALID_SCHEMA'
  | 'INVALID_TEXT'
  | 'INVALID_UTF8'
  | 'ITEM_TOO_LARGE'
  | 'NOT_AN_OBJECT'
  | 'TOO_DEEP';

/** What does not change from item to item of a request. */
export interface EventOptions {
  readonly idSource: IdSource;
  /** The items are CloudEvents: their id is that of source and id together. Default false. */
  readonly cloudEvents?: boolean;
  /** The field whose value is the order key. Default: none, and of a CloudEvent its `partitionkey`. */
  readonly keyField?: string | undefined;
  /** `traceparent` of the request, for items that have none of their own. Default: none. */
  readonly trace?: string | null;
  /** Ids of items that have none are made of this and their index, so that the same request again is a duplicate. Default: random ids. */
  readonly idempotencyKey?: string | undefined;
  /** What items must look like. Default: any JSON object. */
  readonly schema?: StreamSchema | undefined;
  readonly tenant: string;
  /** Epoch milliseconds. */
  readonly receivedAt: number;
  readonly limits: Pick<GatewayLimits, 'maxItemBytes' | 'maxDepth'>;
}

/** Tells a refusal from an event. */
export function isRefusal(read: NewEvent | Refusal): read is Refusal {
  return 'code' in read;
}

/** Reads one item: an event, or why it is none. Its bytes become the payload as they are. */
export function readEvent(json: Buffer, index: number, texts: BodyText, options: EventOptions): NewEvent | Refusal {
  const { limits } = options;
  if (json.length > limits.maxItemBytes) {
    return refuse('ITEM_TOO_LARGE', `expected an item of at most ${limits.maxItemBytes} bytes, got ${json.length}`);
  }
  const text = texts.of(json);
  if (text === undefined) return refuse('INVALID_UTF8', 'the item is not valid UTF-8');
  if (isTooDeep(json, limits.maxDepth))
    return refuse('TOO_DEEP', `objects and arrays are nested deeper than ${limits.maxDepth} levels`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return refuse('INVALID_JSON', `not valid JSON: ${(error as Error).message.slice(0, 160)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse(
      'NOT_AN_OBJECT',
      `expected a JSON object, got ${Array.isArray(value) ? 'an array' : value === null ? 'null' : `a ${typeof value}`}`,
    );
  }
  const problem = texts.mayEscape ? textProblem(json) : undefined;
  if (problem !== undefined) return refuse('INVALID_TEXT', problem);
  const fields = value as Readonly<Record<string, unknown>>;
  const wrong = options.cloudEvents === true ? cloudEventProblem(fields) : undefined;
  if (wrong !== undefined) return refuse('INVALID_CLOUDEVENT', wrong);
  const misfit = options.schema?.problemOf(fields, options.cloudEvents);
  if (misfit !== undefined)
    return refuse('INVALID_SCHEMA', `the item does not fit the schema of its stream: ${misfit.slice(0, 200)}`);
  const found = idOf(fields, json, index, options);
  if (found.kind === 'invalid') return refuse('INVALID_ID', found.problem);
  const key = keyOf(fields, options);
  if (key === undefined) return refuse('INVALID_KEY', keyProblem(options));
  const { tenant, receivedAt } = options;
  const generated = found.kind === 'made';
  return {
    id: found.id,
    generated,
    tenant,
    receivedAt,
    time: timeOf(fields),
    trace: traceOf(fields, options),
    key,
    payload: json,
  };
}

type Fields = Readonly<Record<string, unknown>>;

type IdOf = FoundId | { readonly kind: 'made'; readonly id: string };

function idOf(fields: Fields, json: Buffer, index: number, options: EventOptions): Exclude<IdOf, { readonly kind: 'absent' }> {
  const { idSource, cloudEvents, idempotencyKey, receivedAt } = options;
  if (cloudEvents === true && idSource.kind === 'field' && idSource.field === 'id') return checkLength(cloudEventId(fields));
  const found = findId(idSource, fields, json);
  if (found.kind !== 'absent') return found;
  if (idempotencyKey !== undefined) return { kind: 'id', id: `${idempotencyKey}.${index}` };
  return { kind: 'made', id: uuidV7(receivedAt) };
}

function checkLength(id: string): FoundId & { readonly kind: 'id' | 'invalid' } {
  if (Buffer.byteLength(id) <= maxIdBytes) return { kind: 'id', id };
  return { kind: 'invalid', problem: `source and id together may have ${maxIdBytes} bytes` };
}

/** The order key; `null` when the item has none; `undefined` when it is neither a string nor a number, or too long. */
function keyOf(fields: Fields, { keyField, cloudEvents }: EventOptions): string | null | undefined {
  const field = keyField ?? (cloudEvents === true ? 'partitionkey' : undefined);
  if (field === undefined) return null;
  const value = Object.hasOwn(fields, field) ? fields[field] : null;
  if (value === null) return null;
  const key = typeof value === 'number' ? String(value) : value;
  return typeof key === 'string' && key !== '' && Buffer.byteLength(key) <= maxIdBytes ? key : undefined;
}

function keyProblem({ keyField = 'partitionkey' }: EventOptions): string {
  return `the field ${JSON.stringify(keyField)} must be a number, or a string of 1 to ${maxIdBytes} bytes, to be the order key`;
}

function timeOf(fields: Fields): string | null {
  const written = Object.hasOwn(fields, 'time') ? fields.time : undefined;
  // Many formats use the name for something else (seconds, a duration): such a value stays in the payload, and says no time.
  return isEventTime(written) ? written : null;
}

function traceOf(fields: Fields, { cloudEvents, trace = null }: EventOptions): string | null {
  return (cloudEvents === true ? traceparent(fields.traceparent) : null) ?? trace;
}

function refuse(code: RefusalCode, message: string): Refusal {
  return { code, message };
}
