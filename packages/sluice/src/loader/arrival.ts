/** Arrival order: the listeners of a batch are told in the order in which they came, whatever their keys. */

import type { KeyItem, Listener } from './key-item.js';

/** Tells the listeners of some items, earliest arrival first. Linear, unless the arrivals lie far apart (then n·log n). */
export function tellByArrival<K, V>(items: readonly KeyItem<K, V>[]): void {
  if (inOrder(items)) for (const item of items) item.tell();
  else for (const { listener, item } of sorted(items)) if (!listener.settled) listener.tell(item);
}

/** Mostly they are: each key was asked for once. Then no list of them need be made. */
function inOrder<K, V>(items: readonly KeyItem<K, V>[]): boolean {
  let latest = -1;
  let rises = true;
  const look = ({ arrival }: Listener<K, V>) => {
    if (arrival < latest) rises = false;
    latest = arrival;
  };
  for (const item of items) {
    item.each(look);
    if (!rises) return false;
  }
  return true;
}

/** One listener of one item; a call for many keys listens to many. */
interface Told<K, V> {
  readonly listener: Listener<K, V>;
  readonly item: KeyItem<K, V>;
}

function sorted<K, V>(items: readonly KeyItem<K, V>[]): Told<K, V>[] {
  const told: Told<K, V>[] = [];
  let latest = -1;
  let earliest = Number.POSITIVE_INFINITY;
  for (const each of items) {
    each.each((listener, item) => {
      told.push({ listener, item });
      latest = Math.max(latest, listener.arrival);
      earliest = Math.min(earliest, listener.arrival);
    });
  }
  const span = latest - earliest + 1;
  if (span > 4 * told.length) return told.sort((a, b) => a.listener.arrival - b.listener.arrival);
  return placed(told, earliest, span);
}

/** Counting sort: the arrivals of one window are nearly all the numbers of a range. */
function placed<K, V>(told: readonly Told<K, V>[], earliest: number, span: number): Told<K, V>[] {
  const next = new Uint32Array(span + 1);
  for (const { listener } of told) next[listener.arrival - earliest + 1]!++;
  for (let at = 1; at <= span; at++) next[at]! += next[at - 1]!;
  const ordered = new Array<Told<K, V>>(told.length);
  for (const one of told) ordered[next[one.listener.arrival - earliest]!++] = one;
  return ordered;
}
