/** Limits: what a log accepts. Checked before anything is stored, so that a wrong event leaves no trace. */

import { SluiceError, shorten } from '../core/errors.js';
import type { NewEvent } from './record.js';

/** Longest id of an event, in bytes of UTF-8. */
export const maxIdBytes = 512;

/** Longest key of an event, and longest id of a redrive, in bytes of UTF-8. */
export const maxKeyBytes = 512;

/** Longest `trace` of an event, in bytes of UTF-8. */
export const maxTraceBytes = 64;

/** Longest name of a stream, tenant or consumer group, in bytes of UTF-8. */
export const maxNameBytes = 128;

/** Longest `time` of an event, in bytes of UTF-8. */
export const maxTimeBytes = 64;

/**
 * Checks the name of a stream, tenant or group: 1 to 128 bytes of well-formed text without NUL.
 *
 * @throws SluiceError `INVALID_VALUE` (class rejected).
 */
export function checkName(what: 'stream' | 'tenant' | 'group', name: unknown): asserts name is string {
  checkText(`${what} name`, name, maxNameBytes);
  if (name.includes('\0')) throw invalid(`${what} name holds a NUL character: ${shorten(name)}`);
}

/**
 * Checks the events of an append: ids and keys of 1 to 512 bytes, tenants of 1 to 128, times and traces of at most 64, receivedAt in epoch milliseconds.
 *
 * @throws SluiceError `INVALID_VALUE` (class rejected), naming the first wrong event by its index.
 */
export function checkEvents(events: readonly NewEvent[]): void {
  for (let index = 0; index < events.length; index++) {
    try {
      checkEvent(events[index]!);
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      throw invalid(`event ${index}: ${error.message}`);
    }
  }
}

function checkEvent(event: NewEvent): void {
  checkText('id', event.id, maxIdBytes);
  // One character, hence no need to look closer: nearly every event of a service without tenants.
  if (event.tenant !== '_') checkName('tenant', event.tenant);
  if (event.time !== null) checkText('time', event.time, maxTimeBytes);
  const { key, trace, redrive } = event;
  if (key !== undefined && key !== null) checkText('key', key, maxKeyBytes);
  if (trace !== undefined && trace !== null) checkText('trace', trace, maxTraceBytes);
  if (redrive !== undefined && redrive !== null) {
    checkText('redrive.id', redrive.id, maxKeyBytes);
    if (redrive.group !== null) checkName('group', redrive.group);
  }
  if (!(event.receivedAt >= 0 && event.receivedAt <= Number.MAX_SAFE_INTEGER / 64)) {
    throw invalid(`receivedAt must be epoch milliseconds, got ${shorten(event.receivedAt)}`);
  }
  if (!(event.payload instanceof Uint8Array)) throw invalid('payload must be a Uint8Array');
}

const unpairedSurrogate = /\p{Surrogate}/u;

function checkText(what: string, text: unknown, maxBytes: number): asserts text is string {
  if (typeof text !== 'string' || text.length === 0)
    throw invalid(`${what} must be a string that is not empty, got ${shorten(text)}`);
  // A character takes at most three bytes per UTF-16 unit.
  if (text.length * 3 <= maxBytes && isAscii(text)) return;
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) throw invalid(`${what} of ${bytes} bytes: at most ${maxBytes} are allowed`);
  // UTF-8 cannot carry them: two different texts would be stored as one.
  if (bytes !== text.length && unpairedSurrogate.test(text))
    throw invalid(`${what} holds an unpaired surrogate: ${shorten(text)}`);
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

function invalid(message: string): SluiceError {
  return new SluiceError(message, { code: 'INVALID_VALUE', class: 'rejected' });
}

/**
 * Checks the number of a partition.
 *
 * @throws SluiceError `INVALID_VALUE` (class rejected).
 */
export function checkPartition(stream: string, partition: number, partitions: number): void {
  if (Number.isInteger(partition) && partition >= 0 && partition < partitions) return;
  throw invalid(`stream ${shorten(stream)} has ${partitions} partitions, numbered from 0; got ${shorten(partition)}`);
}
