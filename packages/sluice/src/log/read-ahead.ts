/** Read-ahead: what was read from a partition and is not yet behind its cursor, in bytes. It bounds memory however large the backlog is. */

import { Deque } from '../core/deque.js';
import type { LogRecord } from './record.js';

/**
 * Counts what is ahead of the cursor, settled or not: records are views of the chunks that they were read with, so that one that is stuck
 * keeps its settled neighbours in memory too.
 */
export interface ReadAhead {
  readonly bytes: number;
  /**
   * Bounds of the next read, so that what is ahead stays within `most` bytes, but for one record; `undefined` when there is too little room to
   * be worth a read.
   */
  room(most: number): { readonly maxItems: number; readonly maxBytes: number } | undefined;
  add(record: LogRecord): void;
  /** The cursor stands here now. */
  pass(cursor: number): void;
}

/** What a record takes beside its payload and texts: its object, and its item in the engine. Measured with heap snapshots of Node 20. */
const overheadBytes = 400;

/** So many records are counted together: they leave together, too. */
const together = 32;

/** Nothing is ahead at first. */
export function createReadAhead(): ReadAhead {
  const parts = new Deque<{ last: number; records: number; bytes: number }>();
  let newest: { last: number; records: number; bytes: number } | undefined;
  let bytes = 0;

  return {
    get bytes() {
      return bytes;
    },
    room(most) {
      const room = most - bytes;
      // Somebody who reads one record for each that is settled reads a chunk of the log for each.
      if (bytes > 0 && room < most / 8) return undefined;
      // Nobody knows how large the next records are: half of the room for their bytes, half for what comes on top of them.
      return { maxItems: Math.max(1, Math.floor(room / 2 / overheadBytes)), maxBytes: Math.max(1, Math.floor(room / 2)) };
    },
    add(record) {
      const cost = record.payload.byteLength + record.id.length + (record.key?.length ?? 0) + overheadBytes;
      bytes += cost;
      if (newest === undefined || newest.records === together) {
        newest = { last: record.offset, records: 1, bytes: cost };
        parts.push(newest);
        return;
      }
      newest.last = record.offset;
      newest.records++;
      newest.bytes += cost;
    },
    pass(cursor) {
      for (let part = parts.peek(); part !== undefined && part.last < cursor; part = parts.peek()) {
        bytes -= part.bytes;
        parts.shift();
        if (part === newest) newest = undefined;
      }
    },
  };
}
