/**
 * Marks of what is in flight, in a file beside the store for each group and partition: written with each batch, so they must cost no flush.
 * The page cache keeps them when the process is killed; after a power cut they may be gone.
 *
 * A file has two slots that take turns, so that a write that is cut off leaves the one before:
 * `crc32 u32 (of all that follows) · ranges u32 · sequence u48 · epoch u48 · per range: first u48, length u48`.
 */

import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, write, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { OffsetRange, Ownership } from '../log/position.js';
import { crc32 } from './crc32.js';
import { unwritable } from './folder.js';

/** The marks of a store. */
export interface InFlightMarks {
  /**
   * Puts marks in place of those before. Where the disk has no room for them nothing is thrown, for what is in flight has to go on: that is how a
   * full disk gets empty. Those before then stay, except in the first write to a partition since the store was opened: it empties the file first,
   * and without room there are no marks until a later one finds some. While a write to a partition is under way, the next waits with the newest
   * marks for all who asked meanwhile.
   *
   * @throws SluiceError `LOG_UNWRITABLE`
   */
  write(owner: Ownership, ranges: readonly OffsetRange[]): Promise<void>;
  /** What was in flight under that epoch; nothing when the newest marks are of another one. */
  read(group: string, stream: string, partition: number, epoch: number): readonly OffsetRange[];
  /** Removes the marks of a group in one partition. */
  clear(group: string, stream: string, partition: number): void;
  /** Resolves once nothing is being written. */
  close(): Promise<void>;
}

const headBytes = 20;
const rangeBytes = 12;
const slotBytes = 40_960;

const noRoom: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** The marks below the folder of a store. */
export function createInFlightMarks(path: string): InFlightMarks {
  const folder = join(path, 'in-flight');
  const open = new Map<string, MarkFile>();

  function fileOf({ group, stream, partition }: Ownership): MarkFile {
    const key = keyOf(group, stream, partition);
    const known = open.get(key);
    if (known !== undefined) return known;
    mkdirSync(folder, { recursive: true });
    const file = openMarkFile(join(folder, nameOf(group, stream, partition)));
    open.set(key, file);
    return file;
  }

  return {
    async write(owner, ranges) {
      try {
        await fileOf(owner).write({ ranges, epoch: owner.epoch });
      } catch (thrown) {
        if (!noRoom.has((thrown as NodeJS.ErrnoException).code ?? '')) throw unwritable(folder, thrown);
      }
    },
    read(group, stream, partition, epoch) {
      let bytes: Buffer;
      try {
        bytes = readFileSync(join(folder, nameOf(group, stream, partition)));
      } catch {
        return [];
      }
      const slots = [decode(bytes.subarray(0, slotBytes)), decode(bytes.subarray(slotBytes))];
      const newest = slots.filter((slot) => slot !== undefined).sort((a, b) => b.sequence - a.sequence)[0];
      return newest?.epoch === epoch ? newest.ranges : [];
    },
    clear(group, stream, partition) {
      const key = keyOf(group, stream, partition);
      const file = open.get(key);
      open.delete(key);
      // Before anybody can open the next file of that name; what is still being written goes into this one.
      rmSync(join(folder, nameOf(group, stream, partition)), { force: true });
      void file?.close();
    },
    async close() {
      const files = [...open.values()];
      open.clear();
      await Promise.all(files.map((file) => file.close()));
    },
  };
}

interface Marks {
  readonly ranges: readonly OffsetRange[];
  readonly epoch: number;
}

interface MarkFile {
  write(marks: Marks): Promise<void>;
  /** Resolves once what is being written is written; nothing may be written after it. */
  close(): Promise<void>;
}

const writeAt = promisify(write);

/**
 * Opens the file of a partition, empty. Written beside the JavaScript thread: a file system that commits its journal keeps whoever writes waiting
 * for as long as the flush of the log takes.
 */
function openMarkFile(path: string): MarkFile {
  const descriptor = openSync(path, 'w');
  try {
    // A block of the disk for each slot: from now on marks of a few ranges need no room.
    for (const at of [0, slotBytes]) writeSync(descriptor, Buffer.alloc(1), 0, 1, at);
  } catch (thrown) {
    closeSync(descriptor);
    throw thrown;
  }
  /** Of the last slot that was written. */
  let sequence = 0;
  let newest: Marks;
  let last: Promise<void> = Promise.resolve();
  let queued: Promise<void> | undefined;

  /** A slot that was cut off is written again next time, and the one before stays good. */
  async function writeSlot(): Promise<void> {
    queued = undefined;
    const bytes = encode(newest, sequence + 1);
    const { bytesWritten } = await writeAt(descriptor, bytes, 0, bytes.length, ((sequence + 1) % 2) * slotBytes);
    if (bytesWritten === bytes.length) sequence++;
  }

  return {
    write(marks) {
      newest = marks;
      if (queued === undefined) {
        queued = last.then(writeSlot);
        last = queued.catch(() => {});
      }
      return queued;
    },
    async close() {
      await last;
      closeSync(descriptor);
    },
  };
}

function keyOf(group: string, stream: string, partition: number): string {
  return JSON.stringify([group, stream, partition]);
}

/** Names hold any character; a name of a file may not, and has at most 255 bytes. */
function nameOf(group: string, stream: string, partition: number): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([group, stream]))
    .digest('hex')
    .slice(0, 40);
  return `${digest}-${partition}`;
}

function encode({ ranges, epoch }: Marks, sequence: number): Buffer {
  const bytes = Buffer.allocUnsafe(headBytes + ranges.length * rangeBytes);
  bytes.writeUInt32BE(ranges.length, 4);
  bytes.writeUIntBE(sequence, 8, 6);
  bytes.writeUIntBE(epoch, 14, 6);
  let at = headBytes;
  for (const { first, last } of ranges) {
    bytes.writeUIntBE(first, at, 6);
    at = bytes.writeUIntBE(last - first + 1, at + 6, 6);
  }
  bytes.writeUInt32BE(crc32(bytes.subarray(4)), 0);
  return bytes;
}

function decode(
  slot: Buffer,
): { readonly sequence: number; readonly epoch: number; readonly ranges: readonly OffsetRange[] } | undefined {
  if (slot.length < headBytes) return undefined;
  const count = slot.readUInt32BE(4);
  const end = headBytes + count * rangeBytes;
  if (end > slot.length || crc32(slot.subarray(4, end)) !== slot.readUInt32BE(0)) return undefined;
  const ranges = Array.from({ length: count }, (_, i) => {
    const first = slot.readUIntBE(headBytes + i * rangeBytes, 6);
    return { first, last: first + slot.readUIntBE(headBytes + i * rangeBytes + 6, 6) - 1 };
  });
  return { sequence: slot.readUIntBE(8, 6), epoch: slot.readUIntBE(14, 6), ranges };
}
