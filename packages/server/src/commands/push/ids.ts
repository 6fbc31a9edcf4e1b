/** Ids: which events have none of their own, so that sending them again adds them again. */

import { findId, type IdSource } from '../../gateway/event-id.js';
import type { PartReceipt, PushItem } from './ledger.js';

/**
 * True when an event is a JSON object without an id, for which the gateway makes one. False for what is no JSON object: the gateway
 * refuses that each time.
 */
export function lacksId(source: IdSource, json: Buffer): boolean {
  if (source.kind === 'hash') return false;
  let value: unknown;
  try {
    value = JSON.parse(json.toString('utf8'));
  } catch {
    return false;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return findId(source, value as Record<string, unknown>, json).kind === 'absent';
}

/** How many events of a request were taken with an id that the gateway made. */
export function countMadeIds(source: IdSource, items: readonly PushItem[], { ids }: PartReceipt): number {
  // A receipt has ids when at least one was made, so that the events of most inputs are not parsed here at all.
  if (ids === undefined) return 0;
  return items.filter(({ json }, index) => ids[index] !== null && lacksId(source, json)).length;
}
