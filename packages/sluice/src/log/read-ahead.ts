/** Read-ahead: what was read from a partition and is not yet behind its cursor, in bytes. It bounds memory however large the backlog is. */

import { Deque } from '../core/deque.js';
import type { ReadBounds } from './log.js';
import type { LogRecord } from './record.js';

/**
 * Counts what is ahead of the cursor, settled or not: records are views of the chunks that they were read with, so that one that is stuck
 * keeps its settled neighbours in memory too.
 */
export interface ReadAhead {
  readonly bytes: number;
  /**
   * Bounds of the next read, of `mostItems` at most, so that what is ahead stays within `mostBytes`, but for one record; `undefined` when there
   * is too little room to be worth a read.
   */
  page(mostItems: number, mostBytes: number, isBackground: boolean): ReadBounds | undefined;
  add(record: LogRecord): void;
  /** The cursor stands here now. */
  pass(cursor: number): void;
}

/** What a record takes beside its payload and texts: its object, and its item in the engine. Measured with heap snapshots of Node 20. */
const overheadBytes = 400;

/** Bounds of any read. What nobody waits for is read in smaller pages: those who do wait for the same thread. */
const pageItems = 2_000;
const backgroundPageItems = 1_000;
const pageBytes = 4 << 20;

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
    page(mostItems, mostBytes, isBackground) {
      const room = mostBytes - bytes;
      // Somebody who reads one record for each that is settled reads a chunk of the log for each.
      if (mostItems <= 0 || (bytes > 0 && room < mostBytes / 8)) return undefined;
      // Nobody knows how large the next records are: half of the room for their bytes, half for what comes on top of them.
      const half = Math.floor(room / 2);
      const maxItems = Math.min(
        isBackground ? backgroundPageItems : pageItems,
        Math.max(1, Math.floor(half / overheadBytes)),
        mostItems,
      );
      return { maxItems, maxBytes: Math.min(pageBytes, Math.max(1, half)), isBackground };
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
