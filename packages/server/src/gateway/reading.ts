/** Reading: the items of one request become events or are refused, a turn's worth at a time. */

import type { NewEvent } from 'sluice/log';
import { type BodyText, bodyText } from './body-text.js';
import { type EventOptions, isRefusal, readEvent } from './event.js';
import type { ItemError } from './receipt.js';

/** The items of a request, on their way to events. */
export interface Reading {
  readonly items: readonly Buffer[];
  readonly texts: BodyText;
  readonly options: EventOptions;
  /** The index of the item that is read next. */
  next: number;
  /** As long as the items until all are read: arrays that grow one by one leave room for sixteen, and most requests have one item. */
  readonly events: NewEvent[];
  eventCount: number;
  /** Of each event its index among the items; `undefined` while no item was refused. */
  indexes: number[] | undefined;
  errors: ItemError[] | undefined;
  /** An id was made for at least one of them. */
  generated: boolean;
}

/**
 * The items of a request before any is read.
 *
 * @param body what the items are slices of.
 */
export function startReading(items: readonly Buffer[], body: Buffer, options: EventOptions): Reading {
  const texts = bodyText(body);
  const events = new Array<NewEvent>(items.length);
  // biome-ignore format: spread objects are slow to make, and one field a line is a page.
  return { items, texts, options, next: 0, events, eventCount: 0, indexes: undefined, errors: undefined, generated: false };
}

/** Bytes read in one turn: about two milliseconds, so that a large request does not hold up the small ones. */
const bytesPerTurn = 256 * 1024;

/** Reads what one turn may; true when nothing is left. */
export function readSome(reading: Reading): boolean {
  const { items, texts, options, events } = reading;
  let bytes = 0;
  for (; reading.next < items.length; reading.next++) {
    const index = reading.next;
    const item = items[index]!;
    bytes += item.length;
    if (bytes > bytesPerTurn && bytes > item.length) return false;
    const read = readEvent(item, index, texts, options);
    if (isRefusal(read)) {
      reading.indexes ??= upTo(index);
      reading.errors ??= [];
      reading.errors.push({ index, code: read.code, message: read.message });
    } else {
      events[reading.eventCount++] = read;
      reading.indexes?.push(index);
      if (read.generated === true) reading.generated = true;
    }
  }
  if (events.length > reading.eventCount) events.length = reading.eventCount;
  return true;
}

function upTo(index: number): number[] {
  return Array.from({ length: index }, (_, at) => at);
}
