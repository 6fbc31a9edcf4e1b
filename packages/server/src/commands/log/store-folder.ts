/** Where the store is that a command reads, and how it is opened: for reading alone, while a service may have it open. */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type LogReader, openLmdbReader } from 'sluice/lmdb';
import { UsageError } from '../command-io.js';
import type { StoreFlags } from './commands.js';

/** The absolute path of the store. */
export function storeFolder({ data, store }: StoreFlags): string {
  return resolve(store ?? join(data, 'log'));
}

/**
 * Opens the store, hands it to `use`, and closes it whatever happens.
 *
 * @throws UsageError when there is no store; SluiceError when it cannot be opened.
 */
export async function withStore<T>(flags: StoreFlags, use: (reader: LogReader) => Promise<T>): Promise<T> {
  const path = storeFolder(flags);
  if (!existsSync(join(path, 'data.mdb'))) {
    throw new UsageError(`there is no store in ${path}; give the service's data folder with --data, or the store's with --store`);
  }
  const reader = openLmdbReader({ path });
  try {
    return await use(reader);
  } finally {
    await reader.close();
  }
}

/** A stream that must exist. */
export async function partitionsOf(reader: LogReader, stream: string): Promise<number> {
  const streams = await reader.streams();
  const partitions = streams.filter((info) => info.stream === stream).length;
  if (partitions > 0) return partitions;
  const names = [...new Set(streams.map((info) => info.stream))];
  const known =
    names.length === 0 ? 'it holds none yet' : `it holds ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`;
  throw new UsageError(`the store has no stream ${JSON.stringify(stream)}; ${known}`);
}
