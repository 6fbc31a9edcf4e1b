/** Names to numbers: streams and windows of ids are numbered, so that keys stay short. */

import { readCount, writeCount } from './keys.js';
import type { Trees } from './store.js';

/** The number of a stream, or undefined when it has none yet. */
export function streamNumber(trees: Trees, stream: string): number | undefined {
  return trees.streams.getBinary(Buffer.from(stream))?.readUInt32BE(0);
}

/** The number of a stream, given now when it has none; within a write transaction. */
export function numberStream(trees: Trees, stream: string): number {
  const known = streamNumber(trees, stream);
  if (known !== undefined) return known;
  const number = nextNumber(trees, 'next stream');
  const row = Buffer.allocUnsafe(4);
  row.writeUInt32BE(number, 0);
  trees.streams.put(Buffer.from(stream), row);
  return number;
}

/** A number that was never given before, from the counter of that name; within a write transaction. */
export function nextNumber(trees: Trees, counter: 'next stream' | 'next scope'): number {
  const key = Buffer.from(counter);
  const number = readCount(trees.meta.getBinary(key)) + 1;
  trees.meta.put(key, writeCount(number));
  return number;
}
