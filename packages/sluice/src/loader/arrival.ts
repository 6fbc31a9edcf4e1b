/** Arrival order: the waiters of a batch are told in the order in which they came, whatever their keys. */

import type { KeyItem, Waiter } from './key-item.js';

/** The waiters of some items, earliest arrival first. Linear, unless the arrivals lie far apart (then n·log n). */
export function byArrival<K, V>(items: readonly KeyItem<K, V>[]): Waiter<K, V>[] {
  const waiters: Waiter<K, V>[] = [];
  let latest = -1;
  let earliest = Number.POSITIVE_INFINITY;
  let inOrder = true;
  for (const item of items) {
    for (let waiter = item.first; waiter !== undefined; waiter = waiter.next) {
      waiters.push(waiter);
      const { arrival } = waiter;
      if (arrival > latest) latest = arrival;
      else inOrder = false;
      if (arrival < earliest) earliest = arrival;
    }
  }
  if (inOrder) return waiters;
  const span = latest - earliest + 1;
  return span <= 4 * waiters.length ? placed(waiters, earliest, span) : waiters.sort((a, b) => a.arrival - b.arrival);
}

/** Counting sort: the arrivals of one window are nearly all the numbers of a range, each once. */
function placed<K, V>(waiters: readonly Waiter<K, V>[], earliest: number, span: number): Waiter<K, V>[] {
  const places = new Array<Waiter<K, V> | undefined>(span).fill(undefined);
  for (const waiter of waiters) places[waiter.arrival - earliest] = waiter;
  return places.filter((waiter) => waiter !== undefined);
}
