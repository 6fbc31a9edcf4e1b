/** `sluice dlq groups`: dead letters counted by what they failed with. */

import type { DeadLetterGroup } from 'sluice/log';
import type { CommandIo } from '../command-io.js';
import { type ControlClient, withControl } from '../control-client.js';
import { bytesText, counted } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { table } from '../table.js';
import { type FilterFlags, filterQuery } from './filter-flags.js';
import { timeText } from './letter.js';

/** Prints the groups; resolves with the exit code. */
export function groups({ io, ...flags }: ControlFlags & FilterFlags & { readonly io: CommandIo }): Promise<number> {
  return withControl(flags, async (control) => {
    const answer = await ask(control, flags);
    if (flags.json) io.stdout.write(`${JSON.stringify(answer)}\n`);
    else if (answer.groups.length === 0) io.stdout.write('There are no such dead letters.\n');
    else {
      io.stdout.write(groupTable(answer.groups));
      if (flags.state === undefined) await tellSent(control, { io, ...flags });
    }
    return 0;
  });
}

type Answer = { readonly groups: readonly DeadLetterGroup[] };

function ask(control: ControlClient, flags: FilterFlags): Promise<Answer> {
  return control.ask<Answer>('GET', '/v1/dead-letters/groups', 'groups', filterQuery(flags));
}

/** Who has just sent them again would otherwise see the counts of before, and send them once more. */
async function tellSent(control: ControlClient, { io, ...flags }: FilterFlags & { readonly io: CommandIo }): Promise<void> {
  const { groups: sent } = await ask(control, { ...flags, state: 'redriven' });
  const items = sent.reduce((sum, group) => sum + group.items, 0);
  if (items > 0)
    io.stderr.write(`sluice dlq: sent again already: ${counted(items, 'letter')} of these; --state parked leaves them out.\n`);
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
