/** `sluice log ls`: streams, groups and how far they are behind, and the number of dead letters. */

import type { GroupInfo, Lag, StreamInfo } from 'sluice/log';
import type { CommandIo } from '../command-io.js';
import type { StoreFlags } from './commands.js';
import { bytesText, counted, plain } from './print.js';
import { withStore } from './store-folder.js';

/** Lists what a store holds; resolves with the exit code. */
export function ls({ io, ...flags }: StoreFlags & { readonly io: CommandIo }): Promise<number> {
  return withStore(flags, async (reader) => {
    const streams = await reader.streams();
    const groups = await Promise.all((await reader.groups()).map(async (group) => ({ ...group, lag: await lagOf(group) })));
    const { items, bytes } = reader.letters;
    const lines = flags.json
      ? [JSON.stringify({ streams, groups, deadLetters: { items, bytes } })]
      : [
          ...streams.flatMap((stream) => streamLines(stream, groups)),
          `dead letters: ${items.toLocaleString('en')} (${bytesText(bytes)})`,
        ];
    io.stdout.write(`${lines.join('\n')}\n`);
    return 0;

    async function lagOf({ group, stream, partition }: GroupInfo): Promise<Lag | undefined> {
      return (await reader.lag(group, stream)).find((lag) => lag.partition === partition);
    }
  });
}

function streamLines(info: StreamInfo, groups: readonly (GroupInfo & { readonly lag: Lag | undefined })[]): string[] {
  const { stream, partition, firstOffset, nextOffset, bytes, oldestAt } = info;
  const range = nextOffset > firstOffset ? `, offsets ${firstOffset} to ${nextOffset - 1}` : `, next offset ${nextOffset}`;
  const since = oldestAt === null ? '' : `, the oldest appended ${new Date(oldestAt).toISOString()}`;
  const lines = [
    `${plain(stream)}/${partition}: ${counted(nextOffset - firstOffset, 'record')}${range} (${bytesText(bytes)})${since}`,
  ];
  for (const { group, lag, cursor, settledAbove, expired, skipped, owned, ...of } of groups) {
    if (of.stream !== stream || of.partition !== partition) continue;
    const notes = [
      `cursor ${cursor}`,
      ...(settledAbove > 0 ? [`${settledAbove.toLocaleString('en')} settled above it`] : []),
      ...(expired > 0 ? [`${counted(expired, 'record')} expired`] : []),
      ...(skipped > 0 ? [`${counted(skipped, 'record')} skipped`] : []),
      owned ? 'owned' : 'nobody owns it',
    ];
    lines.push(
      `  group ${plain(group)}: ${counted(lag?.items ?? 0, 'record')} behind (${bytesText(lag?.bytes ?? 0)}); ${notes.join(', ')}`,
    );
  }
  return lines;
}
