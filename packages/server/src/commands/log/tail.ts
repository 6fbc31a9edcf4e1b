/** `sluice log tail`: records as they come. Another process writes them, so the store is asked again and again. */

import { setTimeout as pause } from 'node:timers/promises';
import type { LogReader } from 'sluice/lmdb';
import { type CommandIo, UsageError } from '../command-io.js';
import type { StoreFlags } from './commands.js';
import { recordLine } from './print.js';
import { withStore } from './store-folder.js';

/** Options of {@link tail}. */
export interface TailOptions extends StoreFlags {
  readonly stream: string;
  /** Default: all. */
  readonly partition?: number;
  readonly from: 'start' | 'end' | number;
  readonly payload?: boolean;
  readonly io: CommandIo;
  /** Ends it, as SIGINT does. */
  readonly signal?: AbortSignal;
}

const askMs = 200;

/**
 * Prints records until SIGINT or SIGTERM; resolves with the exit code.
 *
 * @throws UsageError for an offset without a partition, where there are several.
 */
export function tail({ io, stream, partition, from, payload = false, signal, ...flags }: TailOptions): Promise<number> {
  const stop = new AbortController();
  const onStop = (): void => stop.abort();
  process.once('SIGINT', onStop);
  process.once('SIGTERM', onStop);
  signal?.addEventListener('abort', onStop, { once: true });
  // `| head`: nobody reads on.
  io.stdout.once?.('error', onStop);
  return withStore(flags, async (reader) => {
    const places = new Map<number, number>();
    let begun = false;
    while (!stop.signal.aborted && signal?.aborted !== true) {
      await takeIn(reader, places, begun);
      begun = true;
      for (const [number, next] of places) places.set(number, await printFrom(reader, number, next));
      await pause(askMs, undefined, { signal: stop.signal }).catch(() => {});
    }
    return 0;
  }).finally(() => {
    process.removeListener('SIGINT', onStop);
    process.removeListener('SIGTERM', onStop);
    signal?.removeEventListener('abort', onStop);
  });

  /** Partitions that were made since the last time are read from their first record on. */
  async function takeIn(reader: LogReader, places: Map<number, number>, begun: boolean): Promise<void> {
    const infos = (await reader.streams()).filter((info) => info.stream === stream);
    if (typeof from === 'number' && partition === undefined && infos.length > 1) {
      throw new UsageError(`${stream} has ${infos.length} partitions, each with offsets of its own; say which with --partition`);
    }
    for (const info of infos) {
      if (places.has(info.partition) || (partition !== undefined && partition !== info.partition)) continue;
      const next = typeof from === 'number' ? from : from === 'start' || begun ? info.firstOffset : info.nextOffset;
      places.set(info.partition, next);
    }
  }

  async function printFrom(reader: LogReader, number: number, next: number): Promise<number> {
    while (!stop.signal.aborted) {
      const records = await reader.read(stream, number, next, { maxItems: 500, maxBytes: 4 << 20 });
      if (records.length === 0) break;
      io.stdout.write(records.map((record) => `${recordLine(record, { ...flags, payload })}\n`).join(''));
      next = records.at(-1)!.offset + 1;
    }
    return next;
  }
}
