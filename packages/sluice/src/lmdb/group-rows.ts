/** Rows of groups: the state of a group in one partition, in bytes. */

import type { GroupState } from '../log/group-state.js';
import type { OffsetRange, Suspect } from '../log/position.js';

const headBytes = 36;

/**
 * ```
 * cursor u48 · epoch u48 · expired u48 · skipped u48 · owned u8 · unused u8 · ranges u32 · suspects u32 · unclean starts u16
 * per range: first u48 · length u48; per suspect: first u48 · length u48 · crashes u32; per start: u48
 * ```
 */
export function writeGroupRow(state: GroupState): Buffer {
  const { position, suspects, uncleanStarts } = state;
  const { cursor, settledAbove } = position;
  const row = Buffer.alloc(headBytes + settledAbove.length * 12 + suspects.length * 16 + uncleanStarts.length * 6);
  row.writeUIntBE(cursor, 0, 6);
  row.writeUIntBE(state.epoch, 6, 6);
  row.writeUIntBE(state.expired, 12, 6);
  row.writeUIntBE(state.skipped, 18, 6);
  row[24] = state.owned ? 1 : 0;
  row.writeUInt32BE(settledAbove.length, 26);
  row.writeUInt32BE(suspects.length, 30);
  row.writeUInt16BE(uncleanStarts.length, 34);
  let at = headBytes;
  for (const range of settledAbove) at = writeRange(row, at, range);
  for (const suspect of suspects) at = row.writeUInt32BE(suspect.crashes, writeRange(row, at, suspect));
  for (const start of uncleanStarts) at = row.writeUIntBE(Math.floor(start), at, 6);
  return row;
}

/** The cursor of a row, without the rest. */
export function readCursor(row: Buffer): number {
  return row.readUIntBE(0, 6);
}

/** Reads what {@link writeGroupRow} wrote. */
export function readGroupRow(row: Buffer): GroupState {
  let at = headBytes;
  const next = (): OffsetRange => {
    const first = row.readUIntBE(at, 6);
    const last = first + row.readUIntBE(at + 6, 6) - 1;
    at += 12;
    return { first, last };
  };
  const settledAbove = Array.from({ length: row.readUInt32BE(26) }, next);
  const suspects = Array.from({ length: row.readUInt32BE(30) }, (): Suspect => {
    const range = next();
    at += 4;
    return { ...range, crashes: row.readUInt32BE(at - 4) };
  });
  const uncleanStarts = Array.from({ length: row.readUInt16BE(34) }, (_, i) => row.readUIntBE(at + i * 6, 6));
  return {
    position: { cursor: readCursor(row), settledAbove },
    epoch: row.readUIntBE(6, 6),
    expired: row.readUIntBE(12, 6),
    skipped: row.readUIntBE(18, 6),
    owned: row[24] === 1,
    suspects,
    uncleanStarts,
  };
}

function writeRange(row: Buffer, at: number, { first, last }: OffsetRange): number {
  row.writeUIntBE(first, at, 6);
  return row.writeUIntBE(last - first + 1, at + 6, 6);
}
