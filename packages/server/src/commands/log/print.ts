/** How records and numbers are printed. Names, keys and payloads come from outside: what a terminal would act on is escaped. */

import type { LogRecord } from 'sluice/log';

/** How a record is printed. */
export interface RecordStyle {
  readonly json?: boolean;
  readonly payload?: boolean;
}

/** A record, as a line of JSON or of text, with its payload only where asked for. */
export function recordLine(record: LogRecord, { json = false, payload = false }: RecordStyle): string {
  const { stream, partition, offset, id, tenant, key, time, receivedAt, trace, redrive } = record;
  const body: PayloadText = payload ? payloadOf(record) : {};
  if (json) {
    const bytes = record.payload.byteLength;
    return JSON.stringify({ stream, partition, offset, id, tenant, key, time, receivedAt, trace, redrive, bytes, ...body });
  }
  const parts = [
    `${plain(stream)}/${partition}/${offset}`,
    new Date(receivedAt).toISOString(),
    `id=${plain(id)}`,
    ...(tenant === '_' ? [] : [`tenant=${plain(tenant)}`]),
    ...(key === null ? [] : [`key=${plain(key)}`]),
    ...(time === null ? [] : [`time=${plain(time)}`]),
    ...(trace === null ? [] : [`trace=${plain(trace)}`]),
    ...(redrive === null ? [] : [`redrive=${plain(redrive.id)}`]),
    `${record.payload.byteLength} bytes`,
  ];
  if (body.payload !== undefined) parts.push(plain(body.payload));
  if (body.payloadBase64 !== undefined) parts.push(`base64:${body.payloadBase64}`);
  return parts.join('  ');
}

/** Text without what a terminal would act on. */
export function plain(text: string): string {
  return text.replace(unprintable, (char) => {
    const code = char.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

// Controls, and the marks that turn the direction of text.
const unprintable = /[\p{Cc}\u{200e}\u{200f}\u{202a}-\u{202e}\u{2028}\u{2029}\u{2066}-\u{2069}]/gu;

/** Bytes for people: powers of 1,000. */
export function bytesText(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `1 record`, `1,200 records`. */
export function counted(count: number, what: string): string {
  return `${number(count)} ${what}${count === 1 ? '' : 's'}`;
}

/** A number for people: `1,234`. */
export function number(value: number): string {
  return value.toLocaleString('en');
}

/** One of the two. */
interface PayloadText {
  readonly payload?: string;
  readonly payloadBase64?: string;
}

function payloadOf({ payload }: LogRecord): PayloadText {
  try {
    return { payload: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload) };
  } catch {
    return { payloadBase64: Buffer.from(payload).toString('base64') };
  }
}
