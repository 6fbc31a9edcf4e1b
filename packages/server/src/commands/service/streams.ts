/** `sluice streams`: what lies in the log, a line a partition. */

import type { StreamInfo } from 'sluice/log';
import type { CommandIo } from '../command-io.js';
import { withControl } from '../control-client.js';
import { durationText } from '../duration-text.js';
import { bytesText } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { table } from '../table.js';

/** Prints the streams; resolves with the exit code. */
export function streams({ io, ...flags }: ControlFlags & { readonly io: CommandIo }): Promise<number> {
  return withControl(flags, async (control) => {
    const answer = await control.ask<{ readonly streams: readonly StreamInfo[] }>('GET', '/v1/streams', 'streams');
    if (flags.json) io.stdout.write(`${JSON.stringify(answer)}\n`);
    else if (answer.streams.length === 0) io.stdout.write('There are no streams yet; one is made when its first event comes.\n');
    else io.stdout.write(streamTable(answer.streams));
    return 0;
  });
}

function streamTable(infos: readonly StreamInfo[]): string {
  const now = Date.now();
  return table(
    [
      { title: 'STREAM', cell: ({ stream }) => stream },
      { title: 'PARTITION', cell: ({ partition }) => partition },
      { title: 'RECORDS', cell: ({ firstOffset, nextOffset }) => nextOffset - firstOffset },
      { title: 'FIRST', cell: ({ firstOffset }) => firstOffset },
      { title: 'NEXT', cell: ({ nextOffset }) => nextOffset },
      { title: 'STORED', cell: ({ bytes }) => bytesText(bytes) },
      { title: 'OLDEST', cell: ({ oldestAt }) => (oldestAt === null ? '-' : durationText(Math.max(0, now - oldestAt))) },
    ],
    infos,
  );
}
