/** Event time: an RFC 3339 date-time that PostgreSQL takes as `timestamptz`. */

const pattern = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d{1,30})?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/**
 * True when a value is an RFC 3339 date-time: a day that exists, in the years 1 to 9999, a time of day, and an offset of less
 * than 16 hours (PostgreSQL's limit). A leap second (`:60`) is taken where one can be: at 23:59 UTC.
 */
export function isEventTime(value: unknown): value is string {
  if (typeof value !== 'string') return false;
  const parts = pattern.exec(value);
  if (parts === null) return false;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return false;
  const offsetHours = Number(parts[8] ?? 0);
  const offsetMinutes = Number(parts[9] ?? 0);
  if (hour > 23 || minute > 59 || offsetHours > 15 || offsetMinutes > 59) return false;
  if (second < 60) return true;
  const offset = (parts[7] === '-' ? -1 : 1) * (offsetHours * 60 + offsetMinutes);
  const minuteOfDay = (hour * 60 + minute - offset + 2 * 1440) % 1440;
  return second === 60 && minuteOfDay === 23 * 60 + 59;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
