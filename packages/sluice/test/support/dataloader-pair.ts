/** The original DataLoader and ours, through one door, and a log of all that a user of either can observe. */

import Original from 'dataloader';
import { DataLoader } from '../../src/dataloader/index.js';

/** The constructor of either: the original's types speak for both. */
export type Make = typeof Original;

/** What happened, line by line. */
export class Log {
  readonly lines: string[] = [];
  #promises = new Map<unknown, number>();

  add(...parts: unknown[]): void {
    this.lines.push(parts.map((part) => this.text(part)).join(' '));
  }

  /** Notes how a promise settles, when it does. */
  watch<T>(name: string, promise: Promise<T>): Promise<T> {
    this.add(name, 'is', promise);
    promise.then(
      (value) => this.add(name, '=', value),
      (error: unknown) => this.add(name, '!', error),
    );
    return promise;
  }

  /** Notes what a call throws, or returns. */
  attempt(name: string, fn: () => unknown): void {
    try {
      this.add(name, 'returned', fn());
    } catch (thrown) {
      this.add(name, 'threw', thrown);
    }
  }

  text(value: unknown): string {
    if (typeof value === 'string') return value;
    if (value instanceof Promise) {
      // By order of appearance: the same promise twice is seen to be the same.
      if (!this.#promises.has(value)) this.#promises.set(value, this.#promises.size);
      return `promise#${this.#promises.get(value)}`;
    }
    if (value instanceof Error) return `${value.constructor.name}(${value.message})`;
    if (Array.isArray(value)) return `[${Array.from(value, (entry) => this.text(entry)).join(', ')}]`;
    if (typeof value === 'function') return 'function';
    return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
  }
}

/** Runs a script with the original, then with ours: one after the other, for they would share the queue of promise jobs. */
export async function both(script: (make: Make, log: Log) => unknown): Promise<{ original: string[]; ours: string[] }> {
  const original = await observed(script, Original);
  const ours = await observed(script, DataLoader as unknown as Make);
  return { original, ours };
}

async function observed(script: (make: Make, log: Log) => unknown, make: Make): Promise<string[]> {
  const log = new Log();
  const onUnhandled = (reason: unknown) => log.add('unhandled', reason);
  process.on('unhandledRejection', onUnhandled);
  try {
    await script(make, log);
  } catch (thrown) {
    log.add('script threw', thrown);
  }
  for (let i = 0; i < 6; i++) await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', onUnhandled);
  return log.lines;
}
