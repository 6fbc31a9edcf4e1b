/** Arrival order: the waiters of a batch are told in the order in which they came, whatever their keys. */

import type { KeyItem, Waiter } from './key-item.js';

/** Calls `tell` for the waiters of some items, earliest arrival first. Linear, unless the arrivals lie far apart (then n·log n). */
export function tellByArrival<K, V>(items: readonly KeyItem<K, V>[], tell: (waiter: Waiter<K, V>) => void): void {
  if (inOrder(items)) {
    for (const item of items) {
      for (let waiter = item.first; waiter !== undefined; waiter = waiter.next) tell(waiter);
    }
    return;
  }
  for (const waiter of sorted(items)) tell(waiter);
}

/** Mostly they are: each key was asked for once. Then no list of them need be made. */
function inOrder<K, V>(items: readonly KeyItem<K, V>[]): boolean {
  let latest = -1;
  for (const item of items) {
    for (let waiter = item.first; waiter !== undefined; waiter = waiter.next) {
      if (waiter.arrival < latest) return false;
      latest = waiter.arrival;
    }
  }
  return true;
}

function sorted<K, V>(items: readonly KeyItem<K, V>[]): Waiter<K, V>[] {
  const waiters: Waiter<K, V>[] = [];
  let latest = -1;
  let earliest = Number.POSITIVE_INFINITY;
  for (const item of items) {
    for (let waiter = item.first; waiter !== undefined; waiter = waiter.next) {
      waiters.push(waiter);
      latest = Math.max(latest, waiter.arrival);
      earliest = Math.min(earliest, waiter.arrival);
    }
  }
  const span = latest - earliest + 1;
  return span <= 4 * waiters.length ? placed(waiters, earliest, span) : waiters.sort((a, b) => a.arrival - b.arrival);
}

/** Counting sort: the arrivals of one window are nearly all the numbers of a range, each once. */
function placed<K, V>(waiters: readonly Waiter<K, V>[], earliest: number, span: number): Waiter<K, V>[] {
  const places = new Array<Waiter<K, V> | undefined>(span).fill(undefined);
  for (const waiter of waiters) places[waiter.arrival - earliest] = waiter;
  return places.filter((waiter) => waiter !== undefined);
}
