/**
 * Records in bytes. All integers are big-endian.
 *
 * ```
 * payload length u32 · received at u48 (epoch ms) · id length u16 · tenant length u8 · time length u8 (255: none)
 * id · tenant · time · payload
 * ```
 */

import type { LogRecord, NewEvent } from '../log/log.js';

const headerBytes = 14;
const noTime = 255;

/** Events encoded one behind the other; event `i` lies from `starts[i]` to `starts[i + 1]`. */
export interface EncodedEvents {
  readonly bytes: Buffer;
  readonly starts: Uint32Array;
}

/** Encodes events that were checked before. */
export function encodeEvents(events: readonly NewEvent[]): EncodedEvents {
  const starts = new Uint32Array(events.length + 1);
  // UTF-8 takes at most three bytes per UTF-16 unit: one guess from above, and no second pass over the strings.
  let most = 0;
  for (const { id, tenant, time, payload } of events) {
    most += headerBytes + (id.length + tenant.length + (time?.length ?? 0)) * 3 + payload.length;
  }
  const bytes = Buffer.allocUnsafe(most);
  let at = 0;
  for (let i = 0; i < events.length; i++) {
    starts[i] = at;
    at = writeRecord(bytes, at, events[i]!);
  }
  starts[events.length] = at;
  return { bytes: bytes.subarray(0, at), starts };
}

/** Length of the record that begins at `at`. */
export function recordBytes(bytes: Buffer, at: number): number {
  const timeBytes = bytes[at + 13]!;
  return (
    headerBytes + bytes.readUInt32BE(at) + bytes.readUInt16BE(at + 10) + bytes[at + 12]! + (timeBytes === noTime ? 0 : timeBytes)
  );
}

/** The record that begins at `at`; its payload is a view of `bytes`, not a copy. */
export function decodeRecord(bytes: Buffer, at: number, stream: string, partition: number, offset: number): LogRecord {
  const timeBytes = bytes[at + 13]!;
  const idAt = at + headerBytes;
  const tenantAt = idAt + bytes.readUInt16BE(at + 10);
  const timeAt = tenantAt + bytes[at + 12]!;
  const payloadAt = timeBytes === noTime ? timeAt : timeAt + timeBytes;
  return {
    stream,
    partition,
    offset,
    id: bytes.toString('utf8', idAt, tenantAt),
    tenant: timeAt === tenantAt + 1 && bytes[tenantAt] === underscore ? '_' : bytes.toString('utf8', tenantAt, timeAt),
    time: timeBytes === noTime ? null : bytes.toString('utf8', timeAt, payloadAt),
    receivedAt: bytes.readUIntBE(at + 4, 6),
    payload: bytes.subarray(payloadAt, payloadAt + bytes.readUInt32BE(at)),
  };
}

const underscore = 0x5f;

function writeRecord(bytes: Buffer, at: number, event: NewEvent): number {
  const { id, tenant, time, payload } = event;
  let next = at + headerBytes;
  const idBytes = bytes.write(id, next, 'utf8');
  next += idBytes;
  const tenantBytes = bytes.write(tenant, next, 'utf8');
  next += tenantBytes;
  const timeBytes = time === null ? 0 : bytes.write(time, next, 'utf8');
  next += timeBytes;
  bytes.set(payload, next);
  bytes.writeUInt32BE(payload.length, at);
  bytes.writeUIntBE(Math.floor(event.receivedAt), at + 4, 6);
  bytes.writeUInt16BE(idBytes, at + 10);
  bytes[at + 12] = tenantBytes;
  bytes[at + 13] = time === null ? noTime : timeBytes;
  return next + payload.length;
}
