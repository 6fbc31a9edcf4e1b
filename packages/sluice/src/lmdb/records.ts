/**
 * Records in bytes. All integers are big-endian.
 *
 * ```
 * payload length u32 · received at u48 (epoch ms) · id length u16 · tenant length u8 · time length u8 (255: none) · extras u8
 * id · tenant · time · extras · payload
 * extras: key (1), trace (2), redrive id (4), redrive group (4), each as length u16 · text; the byte says which are there
 * ```
 */

import type { LogRecord, NewEvent, Redrive } from '../log/record.js';

const headerBytes = 15;
const noTime = 255;
const hasKey = 1;
const hasTrace = 2;
const hasRedrive = 4;

/** Events encoded one behind the other; event `i` lies from `starts[i]` to `starts[i + 1]`. Others may lie before and behind them. */
export interface EncodedEvents {
  readonly bytes: Buffer;
  readonly starts: readonly number[];
}

/** Encodes events that were checked before, in a buffer that holds nothing else. */
export function encodeEvents(events: readonly NewEvent[]): EncodedEvents {
  const bytes = Buffer.allocUnsafe(mostBytes(events));
  const starts = [0];
  let at = 0;
  for (let i = 0; i < events.length; i++) {
    at = writeRecord(bytes, at, events[i]!);
    starts.push(at);
  }
  return { bytes: bytes.subarray(0, at), starts };
}

/** No fewer bytes than these events need: UTF-8 takes at most three per UTF-16 unit, so there is no second pass over the strings. */
export function mostBytes(events: readonly NewEvent[]): number {
  let most = 0;
  for (let i = 0; i < events.length; i++) {
    const { id, tenant, time, payload, key, trace, redrive } = events[i]!;
    const extras =
      (key?.length ?? 0) + (trace?.length ?? 0) + (redrive == null ? 0 : redrive.id.length + (redrive.group?.length ?? 0));
    most += headerBytes + 8 + (id.length + tenant.length + (time?.length ?? 0) + extras) * 3 + payload.length;
  }
  return most;
}

/** Length of the record that begins at `at`. */
export function recordBytes(bytes: Buffer, at: number): number {
  const timeBytes = bytes[at + 13]!;
  const texts = headerBytes + bytes.readUInt16BE(at + 10) + bytes[at + 12]! + (timeBytes === noTime ? 0 : timeBytes);
  const extras = bytes[at + 14]!;
  const all = texts + bytes.readUInt32BE(at);
  return extras === 0 ? all : all + extrasBytes(bytes, at + texts, extras);
}

/** The record that begins at `at`; its payload is a view of `bytes`, not a copy. */
export function decodeRecord(bytes: Buffer, at: number, stream: string, partition: number, offset: number): LogRecord {
  const timeBytes = bytes[at + 13]!;
  const idAt = at + headerBytes;
  const tenantAt = idAt + bytes.readUInt16BE(at + 10);
  const timeAt = tenantAt + bytes[at + 12]!;
  const extrasAt = timeBytes === noTime ? timeAt : timeAt + timeBytes;
  const extras = bytes[at + 14]!;
  const read = extras === 0 ? noExtras : readExtras(bytes, extrasAt, extras);
  const payloadAt = extrasAt + read.bytes;
  return {
    stream,
    partition,
    offset,
    id: bytes.toString('utf8', idAt, tenantAt),
    tenant: timeAt === tenantAt + 1 && bytes[tenantAt] === underscore ? '_' : bytes.toString('utf8', tenantAt, timeAt),
    key: read.key,
    time: timeBytes === noTime ? null : bytes.toString('utf8', timeAt, extrasAt),
    receivedAt: bytes.readUIntBE(at + 4, 6),
    trace: read.trace,
    redrive: read.redrive,
    payload: bytes.subarray(payloadAt, payloadAt + bytes.readUInt32BE(at)),
  };
}

const underscore = 0x5f;

/** Writes a record at `at` and answers where the next one begins. */
export function writeRecord(bytes: Buffer, at: number, event: NewEvent): number {
  const { id, tenant, time, payload, key, trace, redrive } = event;
  let next = at + headerBytes;
  const idBytes = writeUtf8(bytes, next, id);
  next += idBytes;
  const tenantBytes = writeUtf8(bytes, next, tenant);
  next += tenantBytes;
  const timeBytes = time === null ? 0 : writeUtf8(bytes, next, time);
  next += timeBytes;
  let extras = 0;
  if (key != null) {
    extras |= hasKey;
    next = writeText(bytes, next, key);
  }
  if (trace != null) {
    extras |= hasTrace;
    next = writeText(bytes, next, trace);
  }
  if (redrive != null) {
    extras |= hasRedrive;
    next = writeText(bytes, writeText(bytes, next, redrive.id), redrive.group ?? '');
  }
  bytes.set(payload, next);
  bytes.writeUInt32BE(payload.length, at);
  bytes.writeUIntBE(Math.floor(event.receivedAt), at + 4, 6);
  bytes.writeUInt16BE(idBytes, at + 10);
  bytes[at + 12] = tenantBytes;
  bytes[at + 13] = time === null ? noTime : timeBytes;
  bytes[at + 14] = extras;
  return next + payload.length;
}

/** A call into the engine costs more than a short text does. */
function writeUtf8(bytes: Buffer, at: number, text: string): number {
  if (text.length > 40) return bytes.write(text, at, 'utf8');
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return bytes.write(text, at, 'utf8');
    bytes[at + i] = unit;
  }
  return text.length;
}

/** `length u16 · text`. */
function writeText(bytes: Buffer, at: number, text: string): number {
  const length = bytes.write(text, at + 2, 'utf8');
  bytes.writeUInt16BE(length, at);
  return at + 2 + length;
}

interface Extras {
  readonly key: string | null;
  readonly trace: string | null;
  readonly redrive: Redrive | null;
  readonly bytes: number;
}

const noExtras: Extras = { key: null, trace: null, redrive: null, bytes: 0 };

function readExtras(bytes: Buffer, from: number, extras: number): Extras {
  let at = from;
  const next = () => {
    const end = at + 2 + bytes.readUInt16BE(at);
    const text = bytes.toString('utf8', at + 2, end);
    at = end;
    return text;
  };
  const key = extras & hasKey ? next() : null;
  const trace = extras & hasTrace ? next() : null;
  const redrive = extras & hasRedrive ? { id: next(), group: next() || null } : null;
  return { key, trace, redrive, bytes: at - from };
}

function extrasBytes(bytes: Buffer, from: number, extras: number): number {
  let at = from;
  const texts = (extras & hasKey ? 1 : 0) + (extras & hasTrace ? 1 : 0) + (extras & hasRedrive ? 2 : 0);
  for (let i = 0; i < texts; i++) at += 2 + bytes.readUInt16BE(at);
  return at - from;
}
