/** `sluice dlq groups`: dead letters counted by what they failed with. */

import type { DeadLetterGroup } from 'sluice/log';
import type { CommandIo } from '../command-io.js';
import { withControl } from '../control-client.js';
import { bytesText } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { table } from '../table.js';
import { type FilterFlags, filterQuery } from './filter-flags.js';
import { timeText } from './letter.js';

/** Prints the groups; resolves with the exit code. */
export function groups({ io, ...flags }: ControlFlags & FilterFlags & { readonly io: CommandIo }): Promise<number> {
  return withControl(flags, async (control) => {
    const answer = await control.ask<{ readonly groups: readonly DeadLetterGroup[] }>(
      'GET',
      '/v1/dead-letters/groups',
      'groups',
      filterQuery(flags),
    );
    if (flags.json) io.stdout.write(`${JSON.stringify(answer)}\n`);
    else if (answer.groups.length === 0) io.stdout.write('There are no such dead letters.\n');
    else io.stdout.write(groupTable(answer.groups));
    return 0;
  });
}

function groupTable(found: readonly DeadLetterGroup[]): string {
  return table(
    [
      { title: 'LETTERS', cell: ({ items }) => items },
      { title: 'BYTES', cell: ({ bytes }) => bytesText(bytes) },
      { title: 'GROUP', cell: ({ group }) => group },
      { title: 'STREAM', cell: ({ stream }) => stream },
      { title: 'CODE', cell: ({ code }) => code },
      { title: 'LATEST', cell: ({ lastParkedAt }) => timeText(lastParkedAt) },
      { title: 'ONE OF THEM', cell: ({ sampleId }) => sampleId },
      { title: 'MESSAGE', cell: ({ pattern }) => pattern },
    ],
    found,
  );
}
