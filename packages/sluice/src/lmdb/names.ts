/** Names to numbers: streams and windows of ids are numbered, so that keys stay short. The row of a stream holds its settings too. */

import type { StreamSettings } from '../log/stream-options.js';
import { readCount, writeCount } from './keys.js';
import type { Trees } from './store.js';

/** A stream that exists. */
export interface StreamRow {
  readonly number: number;
  readonly settings: StreamSettings;
}

/** The number of a stream, or undefined when it has none yet. */
export function streamNumber(trees: Trees, stream: string): number | undefined {
  return trees.streams.getBinary(Buffer.from(stream))?.readUInt32BE(0);
}

/** The row of a stream, or undefined when there is none yet. */
export function streamRow(trees: Trees, stream: string): StreamRow | undefined {
  const row = trees.streams.getBinary(Buffer.from(stream));
  return row === undefined ? undefined : readStreamRow(row);
}

/** The row of a stream, made with these settings when there is none; within a write transaction. */
export function ensureStream(trees: Trees, stream: string, defaults: StreamSettings): StreamRow {
  const known = streamRow(trees, stream);
  if (known !== undefined) return known;
  const row = { number: nextNumber(trees, 'next stream'), settings: defaults };
  writeStreamRow(trees, stream, row);
  return row;
}

/** `number u32 · settings as JSON`, where a bound that is not set is null; within a write transaction. */
export function writeStreamRow(trees: Trees, stream: string, { number, settings }: StreamRow): void {
  const json = Buffer.from(JSON.stringify(settings));
  const row = Buffer.allocUnsafe(4 + json.length);
  row.writeUInt32BE(number, 0);
  json.copy(row, 4);
  trees.streams.put(Buffer.from(stream), row);
}

/** Reads what {@link writeStreamRow} wrote. */
export function readStreamRow(row: Buffer): StreamRow {
  const { partitions, retention, ids } = JSON.parse(row.toString('utf8', 4)) as StoredSettings;
  const unset = Number.POSITIVE_INFINITY;
  return {
    number: row.readUInt32BE(0),
    settings: {
      partitions,
      retention: {
        maxAgeMs: retention.maxAgeMs ?? unset,
        maxBytes: retention.maxBytes ?? unset,
        policy: retention.policy,
      },
      ids: { maxItems: ids.maxItems, maxAgeMs: ids.maxAgeMs ?? unset },
    },
  };
}

/** All streams. */
export function* streamRows(trees: Trees): Iterable<StreamRow & { readonly stream: string }> {
  for (const { key, value } of trees.streams.getRange({})) yield { stream: key.toString('utf8'), ...readStreamRow(value) };
}

/** A number that was never given before, from the counter of that name; within a write transaction. */
export function nextNumber(trees: Trees, counter: 'next stream' | 'next scope' | 'next epoch'): number {
  const key = Buffer.from(counter);
  const number = readCount(trees.meta.getBinary(key)) + 1;
  trees.meta.put(key, writeCount(number));
  return number;
}

/** JSON has no Infinity. */
interface StoredSettings {
  readonly partitions: number;
  readonly retention: {
    readonly maxAgeMs: number | null;
    readonly maxBytes: number | null;
    readonly policy: 'keep' | 'expire';
  };
  readonly ids: { readonly maxItems: number; readonly maxAgeMs: number | null };
}
