/** Cache: the newest values of the most recently used keys, for a time. No timers: what is too old is noticed when it is asked for. */

import { checkNames, numberOption } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';

/** The cache of a loader. Opt-in: with it a caller may get a value that was read before it asked. */
export interface CacheOptions {
  /** Keys kept at most, 1 or more; beyond it the least recently used one goes. Default 10,000. */
  readonly maxItems?: number;
  /** How long a value is served, in milliseconds from when it came, 0 or more; `Infinity` for as long as there is room. Default 60,000. */
  readonly ttlMs?: number;
  /**
   * How long a failure of class `permanent` is served, `KEY_NOT_FOUND` included, in milliseconds, 0 or more. Others never are: trying
   * again may help. Default 0: not at all.
   */
  readonly errorTtlMs?: number;
}

/** What a cache holds, and what it was good for. */
export interface CacheStats {
  /** Keys held now, those that are too old and have not been noticed included. */
  readonly items: number;
  /** Calls that it answered. */
  readonly hits: number;
  /** Keys that went because there was no room. */
  readonly evicted: number;
}

interface Entry<V> {
  readonly outcome: Outcome<V>;
  readonly goodUntil: number;
}

/** Least recently used first: a `Map` keeps the order of insertion. */
export class Cache<V> {
  readonly #maxItems: number;
  readonly #ttlMs: number;
  readonly #errorTtlMs: number;
  readonly #entries = new Map<unknown, Entry<V>>();
  #hits = 0;
  #evicted = 0;

  /** @throws SluiceError `INVALID_OPTION` */
  constructor(options: CacheOptions) {
    checkNames('cache', options, ['maxItems', 'ttlMs', 'errorTtlMs']);
    this.#maxItems = numberOption('cache.maxItems', options.maxItems, 10_000, { least: 1, whole: true, infinite: true });
    this.#ttlMs = numberOption('cache.ttlMs', options.ttlMs, 60_000, { least: 0, infinite: true });
    this.#errorTtlMs = numberOption('cache.errorTtlMs', options.errorTtlMs, 0, { least: 0, infinite: true });
  }

  /** What is known of a key at `now`, in monotonic milliseconds. */
  get(identity: unknown, now: number): Outcome<V> | undefined {
    const entry = this.#entries.get(identity);
    if (entry === undefined) return undefined;
    this.#entries.delete(identity);
    if (now >= entry.goodUntil) return undefined;
    this.#entries.set(identity, entry);
    this.#hits++;
    return entry.outcome;
  }

  put(identity: unknown, outcome: Outcome<V>, now: number): void {
    this.#entries.delete(identity);
    const ttlMs = outcome.kind === 'ok' ? this.#ttlMs : outcome.failure.class === 'permanent' ? this.#errorTtlMs : 0;
    if (ttlMs === 0) return;
    this.#entries.set(identity, { outcome, goodUntil: now + ttlMs });
    if (this.#entries.size <= this.#maxItems) return;
    this.#entries.delete(this.#entries.keys().next().value);
    this.#evicted++;
  }

  clear(identity: unknown): void {
    this.#entries.delete(identity);
  }

  clearAll(): void {
    this.#entries.clear();
  }

  stats(): CacheStats {
    return { items: this.#entries.size, hits: this.#hits, evicted: this.#evicted };
  }
}
