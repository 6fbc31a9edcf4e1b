/** `sluice log show`: records from an offset on. */

import type { CommandIo } from '../command-io.js';
import { UsageError } from '../command-io.js';
import type { StoreFlags } from './commands.js';
import { recordLine } from './print.js';
import { partitionsOf, withStore } from './store-folder.js';

/** Options of {@link show}. */
export interface ShowOptions extends StoreFlags {
  readonly stream: string;
  readonly partition: number;
  /** Default: the first offset stored. */
  readonly offset?: number;
  readonly count: number;
  readonly payload?: boolean;
  readonly io: CommandIo;
}

/**
 * Prints records; resolves with the exit code: 1 where fewer are there than were asked for.
 *
 * @throws UsageError when there is no such partition.
 */
export function show({ io, stream, partition, offset, count, payload = false, ...flags }: ShowOptions): Promise<number> {
  return withStore(flags, async (reader) => {
    const partitions = await partitionsOf(reader, stream);
    if (partition >= partitions)
      throw new UsageError(`${stream} has partitions 0 to ${partitions - 1}; got --partition ${partition}`);
    const info = (await reader.streams()).find((one) => one.stream === stream && one.partition === partition)!;
    const from = offset ?? info.firstOffset;
    if (from < info.firstOffset || from >= info.nextOffset) {
      const holds = info.nextOffset > info.firstOffset ? `${info.firstOffset} to ${info.nextOffset - 1}` : 'none';
      io.stderr.write(`sluice log: ${stream}/${partition} has no offset ${from}; those stored: ${holds}.\n`);
      return 1;
    }
    const end = Math.min(from + count, info.nextOffset);
    for (let next = from; next < end; ) {
      const records = await reader.read(stream, partition, next, { maxItems: Math.min(500, end - next), maxBytes: 4 << 20 });
      if (records.length === 0) break;
      io.stdout.write(records.map((record) => `${recordLine(record, { ...flags, payload })}\n`).join(''));
      next = records.at(-1)!.offset + 1;
    }
    return 0;
  });
}
