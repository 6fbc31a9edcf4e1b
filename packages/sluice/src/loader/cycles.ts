/** Cycles: a batch function that waits for a key of its own batch, or for a slot that it holds itself, waits for ever. */

import { failure, type SluiceError, shorten } from '../core/errors.js';
import type { SluiceEvent } from '../core/event.js';
import { contextVariable } from '../env/system.js';

/** A call of a batch function, as a cycle sees it. */
export interface Frame {
  readonly owner: object;
  readonly items: readonly WatchedItem[];
}

/** What the loads of several loaders have to do with each other. Made by {@link detectCycles}. */
export interface CycleDetector {
  /** Watches over the loads of one loader. */
  watch(loader: WatchedLoader): LoaderWatch;
}

/** What a detector must know of a loader. */
export interface WatchedLoader {
  readonly name: string;
  readonly maxInFlight: number;
  observe(event: SluiceEvent): void;
}

/** How a loader asks its detector. */
export interface LoaderWatch {
  /** Runs a batch function so that its loads are known to be its own. */
  run<R>(items: readonly WatchedItem[], fn: () => R): R;
  /** Why this load must not wait, if it must not; `joined` is the open item of its key. */
  refusal(key: unknown, identity: unknown, joined: WatchedItem | undefined): SluiceError | undefined;
  /** Notes who waits for an item. */
  note(item: WatchedItem): void;
}

/** What a detector reads of an item, and writes. */
export interface WatchedItem {
  readonly identity: unknown;
  readonly flight: unknown;
  readonly outcome: unknown;
  readonly gone: boolean;
  waitedBy?: Set<Frame>;
}

/**
 * Finds dependency cycles, for the option `cycles` of loaders; one detector for all loaders that use each other.
 *
 * It follows batch functions through `AsyncLocalStorage`, where the platform has it; elsewhere it finds nothing. On Node 20 that
 * makes every promise of the process dearer: meant for development and tests. A load that its batch function does not await is
 * taken for one that it does; `prefetch` is not.
 *
 * @param options `reportOnly`: tell the observer (event `cycle`), but let the load go on. Default false: it rejects with
 * `DEPENDENCY_CYCLE`.
 */
export function detectCycles(options: { readonly reportOnly?: boolean } = {}): CycleDetector {
  const loading = contextVariable<Frame>();
  const watch = (loader: WatchedLoader): LoaderWatch => ({
    run: (items, fn) => (loading === undefined ? fn() : loading.run({ owner: loader, items }, fn)),
    refusal(key, identity, joined) {
      const frame = loading?.get();
      const closes = frame === undefined ? undefined : closedBy(frame, loader, identity, joined);
      if (closes === undefined) return undefined;
      loader.observe({ type: 'cycle', name: loader.name, closes });
      return options.reportOnly ? undefined : cycleError(loader.name, key, closes);
    },
    note(item) {
      const frame = loading?.get();
      if (frame === undefined) return;
      item.waitedBy ??= new Set();
      item.waitedBy.add(frame);
    },
  });
  return { watch };
}

/** What closes a cycle, if a load from `frame` does: its key, or a slot of its loader. */
function closedBy(
  frame: Frame,
  owner: WatchedLoader,
  identity: unknown,
  joined: WatchedItem | undefined,
): 'key' | 'slot' | undefined {
  let slots = 0;
  for (const waiting of whoWaits(frame)) {
    if (waiting.owner !== owner) continue;
    if (joined?.flight !== undefined && waiting.items.includes(joined)) return 'key';
    // A key that needs itself would ask for itself, batch after batch.
    if (waiting.items.some((item) => item.identity === identity)) return 'key';
    slots++;
  }
  return joined?.flight === undefined && slots >= owner.maxInFlight ? 'slot' : undefined;
}

/** The error of a load that closes a cycle. */
function cycleError(name: string, key: unknown, closes: 'key' | 'slot'): SluiceError {
  const why =
    closes === 'key' ? 'its batch waits, directly or not, for this very load' : 'the calls that wait for it hold every slot';
  return failure(`${name}: key ${shorten(key)} can never come: ${why}.`, { code: 'DEPENDENCY_CYCLE', key });
}

/** `frame`, and all that wait for it, directly or through others. */
function whoWaits(frame: Frame): ReadonlySet<Frame> {
  const found = new Set(hasEnded(frame) ? [] : [frame]);
  // A set visits what is added on the way.
  for (const { items } of found) {
    for (const item of items) {
      for (const waiting of item.waitedBy ?? []) if (!hasEnded(waiting)) found.add(waiting);
    }
  }
  return found;
}

/** A load that its batch function did not wait for may outlive it. */
function hasEnded({ items }: Frame): boolean {
  return items.every((item) => item.outcome !== undefined || item.gone);
}
