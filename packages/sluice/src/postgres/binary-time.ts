/** binary-time: dates and timestamps as PostgreSQL counts them, from 2000-01-01. Pure. */

import type { Bytes } from './bytes.js';

/** 2000-01-01 in milliseconds since 1970. */
const epochMs = 946_684_800_000;
const dayMs = 86_400_000;

/** Writes microseconds; `false` when it is neither a valid Date nor, where `zoned`, RFC 3339 text with its offset. */
export function writeTimestamp(out: Bytes, value: unknown, zoned: boolean): boolean {
  if (value instanceof Date) return writeMicros(out, value.getTime(), 0);
  return zoned && typeof value === 'string' && writeRfc3339(out, value);
}

/** Writes days; `false` when it is neither a valid Date, whose UTC day counts, nor `YYYY-MM-DD`. */
export function writeDate(out: Bytes, value: unknown): boolean {
  let ms: number | undefined;
  if (value instanceof Date) ms = value.getTime();
  else if (typeof value === 'string') {
    const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(value);
    if (match !== null) ms = dayOf(Number(match[1]), Number(match[2]), Number(match[3]));
  }
  if (ms === undefined || Number.isNaN(ms)) return false;
  out.int32(4);
  out.int32(Math.floor((ms - epochMs) / dayMs));
  return true;
}

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:Z|([+-])(\d\d):(\d\d))$/;

function writeRfc3339(out: Bytes, text: string): boolean {
  const match = rfc3339.exec(text);
  if (match === null) return false;
  const [, year, month, day, hour, minute, second, fraction = '', sign, offsetHour = '0', offsetMinute = '0'] = match;
  const midnight = dayOf(Number(year), Number(month), Number(day));
  // A leap second and 24:00 are left to the server, which has its own view of them.
  if (midnight === undefined || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return false;
  if (Number(offsetHour) > 15 || Number(offsetMinute) > 59) return false;
  const offset = (Number(offsetHour) * 60 + Number(offsetMinute)) * (sign === '-' ? -1 : 1);
  const ms = midnight + ((Number(hour) * 60 + Number(minute) - offset) * 60 + Number(second)) * 1000;
  return writeMicros(out, ms, Number(fraction.padEnd(6, '0')));
}

/** Midnight in milliseconds since 1970; nothing when there is no such day. */
function dayOf(year: number, month: number, day: number): number | undefined {
  // Date.UTC takes the years 0 to 99 for 1900 to 1999.
  if (year < 100 || month < 1 || month > 12 || day < 1 || day > 31) return undefined;
  const ms = Date.UTC(year, month - 1, day);
  return new Date(ms).getUTCDate() === day ? ms : undefined;
}

function writeMicros(out: Bytes, ms: number, micros: number): boolean {
  if (Number.isNaN(ms)) return false;
  const exact = (ms - epochMs) * 1000 + micros;
  const written = Number.isSafeInteger(exact) ? exact : BigInt(ms - epochMs) * 1000n + BigInt(micros);
  // The server's range is wider below than JavaScript's, and narrower above only beyond the year 275,760.
  if (exact < leastMicros) return false;
  out.int32(8);
  out.int64(written);
  return true;
}

/** 4713 BC: before it the server has its own words. */
const leastMicros = -210_000_000_000_000_000;
