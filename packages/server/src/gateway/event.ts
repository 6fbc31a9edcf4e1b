/** Event: one item of a request, checked and named, or refused with a reason. */

import { isUtf8 } from 'node:buffer';
import type { NewEvent } from 'sluice/log';
import { findId, type IdSource } from './event-id.js';
import { isEventTime } from './event-time.js';
import type { GatewayLimits } from './limits.js';
import { isTooDeep, textProblem } from './text.js';
import { uuidV7 } from './uuid-v7.js';

/** Why an item was refused. The codes are public. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
}

/** The codes of refused items. */
export type RefusalCode =
  | 'INVALID_ID'
  | 'INVALID_JSON'
  | 'INVALID_TEXT'
  | 'INVALID_UTF8'
  | 'ITEM_TOO_LARGE'
  | 'NOT_AN_OBJECT'
  | 'TOO_DEEP';

/** What does not change from item to item of a request. */
export interface EventOptions {
  readonly idSource: IdSource;
  readonly tenant: string;
  /** Epoch milliseconds. */
  readonly receivedAt: number;
  readonly limits: Pick<GatewayLimits, 'maxItemBytes' | 'maxDepth'>;
}

/** An event, or why there is none. */
export type ReadEvent =
  | { readonly event: NewEvent; readonly refusal: undefined }
  | { readonly event: undefined; readonly refusal: Refusal };

/** Reads one item. Its bytes become the payload as they are. */
export function readEvent(json: Buffer, options: EventOptions): ReadEvent {
  const { limits } = options;
  if (json.length > limits.maxItemBytes) {
    return refuse('ITEM_TOO_LARGE', `expected an item of at most ${limits.maxItemBytes} bytes, got ${json.length}`);
  }
  if (!isUtf8(json)) return refuse('INVALID_UTF8', 'the item is not valid UTF-8');
  if (isTooDeep(json, limits.maxDepth))
    return refuse('TOO_DEEP', `objects and arrays are nested deeper than ${limits.maxDepth} levels`);
  let value: unknown;
  try {
    value = JSON.parse(json.toString('utf8'));
  } catch (error) {
    return refuse('INVALID_JSON', `not valid JSON: ${(error as Error).message.slice(0, 160)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse(
      'NOT_AN_OBJECT',
      `expected a JSON object, got ${Array.isArray(value) ? 'an array' : value === null ? 'null' : `a ${typeof value}`}`,
    );
  }
  const problem = textProblem(json);
  if (problem !== undefined) return refuse('INVALID_TEXT', problem);
  const fields = value as Readonly<Record<string, unknown>>;
  const found = findId(options.idSource, fields, json);
  if (found.kind === 'invalid') return refuse('INVALID_ID', found.problem);
  const { tenant, receivedAt } = options;
  const written = Object.hasOwn(fields, 'time') ? fields.time : undefined;
  // Many formats use the name for something else (seconds, a duration): such a value stays in the payload, and says no time.
  const time = isEventTime(written) ? written : null;
  if (found.kind === 'id') return { event: { id: found.id, tenant, time, receivedAt, payload: json }, refusal: undefined };
  return { event: { id: uuidV7(receivedAt), generated: true, tenant, time, receivedAt, payload: json }, refusal: undefined };
}

function refuse(code: RefusalCode, message: string): ReadEvent {
  return { event: undefined, refusal: { code, message } };
}
