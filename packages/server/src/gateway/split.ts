/** Split: cuts a body into its items without touching a byte of them. */

import { HttpError } from './http-error.js';
import type { BodyFormat } from './media-type.js';

const tab = 0x09;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * The items of a body, as slices of it, each as received.
 *
 * NDJSON: each line without its CR and LF; blank lines are skipped and count for nothing. JSON: the elements of an array, or
 * the one value, without the white space around them. A byte order mark at the start is not part of the first item. Whether a
 * slice is JSON at all is not looked at here.
 *
 * @throws HttpError 400 when there is no item, or when an array cannot be cut; 413 above `maxItems`.
 */
export function splitItems(body: Buffer, format: BodyFormat, maxItems: number): Buffer[] {
  const start = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
  const whole = trim(body, start, body.length);
  if (whole.length === 0) throw new HttpError(400, 'EMPTY_BODY', 'expected at least one item; the body is empty');
  if (format === 'ndjson') return splitLines(body.subarray(start), maxItems);
  if (format === 'cloudevent' || whole[0] !== openBracket) return [whole];
  const items = splitArray(whole, maxItems);
  if (items.length === 0) throw new HttpError(400, 'EMPTY_BODY', 'expected at least one item; the array is empty');
  return items;
}

function splitLines(body: Buffer, maxItems: number): Buffer[] {
  const items: Buffer[] = [];
  for (let start = 0; start < body.length; ) {
    const feed = body.indexOf(lineFeed, start);
    const next = feed === -1 ? body.length : feed;
    const end = next > start && body[next - 1] === carriageReturn ? next - 1 : next;
    if (!isBlank(body, start, end)) add(items, body.subarray(start, end), maxItems);
    start = next + 1;
  }
  return items;
}

function splitArray(text: Buffer, maxItems: number): Buffer[] {
  const items: Buffer[] = [];
  let depth = 0;
  let start = 1;
  for (let at = 1; at < text.length; at++) {
    const byte = text[at]!;
    if (byte === quote) {
      at = endOfString(text, at);
      if (at === -1) throw malformed('a string in it does not end');
    } else if (byte === openBrace || byte === openBracket) {
      depth++;
    } else if (depth > 0) {
      if (byte === closeBrace || byte === closeBracket) depth--;
    } else if (byte === comma || byte === closeBracket) {
      const item = trim(text, start, at);
      if (item.length === 0 && (byte === comma || items.length > 0)) throw malformed('an element is missing beside a comma');
      if (item.length > 0) add(items, item, maxItems);
      start = at + 1;
      if (byte === closeBracket) {
        if (start !== text.length)
          throw malformed('something follows the array; for one object a line send application/x-ndjson');
        return items;
      }
    } else if (byte === closeBrace) {
      throw malformed('a closing brace has no opening one');
    }
  }
  throw malformed('it does not end');
}

/** The index of the quote that ends the string which starts at `at`, or -1. */
export function endOfString(text: Buffer, at: number): number {
  for (let index = at + 1; index < text.length; index++) {
    const byte = text[index];
    if (byte === backslash) index++;
    else if (byte === quote) return index;
  }
  return -1;
}

function add(items: Buffer[], item: Buffer, maxItems: number): void {
  if (items.length === maxItems) {
    throw new HttpError(
      413,
      'TOO_MANY_ITEMS',
      `expected at most ${maxItems} items in one request; send the rest in further requests`,
    );
  }
  items.push(item);
}

function trim(text: Buffer, from: number, to: number): Buffer {
  let start = from;
  let end = to;
  while (start < end && isSpace(text[start]!)) start++;
  while (end > start && isSpace(text[end - 1]!)) end--;
  return start === 0 && end === text.length ? text : text.subarray(start, end);
}

function isBlank(text: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (!isSpace(text[at]!)) return false;
  return true;
}

function isSpace(byte: number): boolean {
  return byte === space || byte === lineFeed || byte === carriageReturn || byte === tab;
}

function malformed(problem: string): HttpError {
  return new HttpError(400, 'INVALID_JSON', `the body is not a JSON array: ${problem}`);
}
