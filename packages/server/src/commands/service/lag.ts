/** `sluice lag`: how far each group is behind, a line a partition. */

import { failure } from 'sluice';
import type { GroupInfo, Lag } from 'sluice/log';
import type { CommandIo } from '../command-io.js';
import { type ControlClient, withControl } from '../control-client.js';
import { durationText } from '../duration-text.js';
import { inkFor } from '../ink.js';
import { bytesText, counted, plain } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { table } from '../table.js';

/** Options of {@link lag}. */
export interface LagOptions extends ControlFlags {
  readonly stream?: string;
  readonly group?: string;
  /** Records that a group may be behind, in all partitions together. Default: any number. */
  readonly most?: number;
  readonly io: CommandIo;
}

/** A group in one partition, with its lag. */
type Behind = GroupInfo & { readonly lag?: Lag };

/** Prints the lag; resolves with the exit code: 1 when a group is behind by more than `most`, or there is nothing to hold against it. */
export function lag({ io, stream, group, most, ...flags }: LagOptions): Promise<number> {
  return withControl(flags, async (control) => {
    const answer = await control.ask<{ readonly groups: readonly Behind[] }>('GET', '/v1/groups', 'groups', { stream, group });
    if (stream !== undefined && answer.groups.length === 0) await checkStream(control, stream);
    if (flags.json) io.stdout.write(`${JSON.stringify(answer)}\n`);
    else if (answer.groups.length === 0) io.stdout.write(`${nobody(group, stream)}.\n`);
    else io.stdout.write(lagTable(answer.groups, io));
    // A check of nothing would be right for ever: a name that is misspelt, or a pipeline that is gone.
    if (most !== undefined && answer.groups.length === 0) {
      io.stderr.write(`sluice lag: there is nothing to hold against --most. ${nobody(group, stream)}.\n`);
      return 1;
    }
    const late = most === undefined ? [] : [...sums(answer.groups)].filter(([, items]) => items > most);
    for (const [name, items] of late)
      io.stderr.write(`sluice lag: the group ${name} is ${counted(items, 'record')} behind, more than ${most}.\n`);
    return late.length === 0 ? 0 : 1;
  });
}

/** Whom nobody is: without its full stop. */
function nobody(group: string | undefined, stream: string | undefined): string {
  const where = stream === undefined ? 'a stream here' : `the stream ${plain(stream)}`;
  return group === undefined ? `No group reads ${where}` : `No group of this name reads ${where}`;
}

/** A name that is misspelt is not a stream that nobody reads. */
async function checkStream(control: ControlClient, stream: string): Promise<void> {
  const { streams } = await control.ask<{ readonly streams: readonly { readonly stream: string }[] }>(
    'GET',
    '/v1/streams',
    'streams',
  );
  const names = [...new Set(streams.map((one) => one.stream))];
  if (names.includes(stream)) return;
  const known =
    names.length === 0 ? 'there are none yet' : `there ${names.length === 1 ? 'is' : 'are'} ${names.map(plain).join(', ')}`;
  throw failure(`there is no stream of this name; ${known}`, { code: 'STREAM_NOT_FOUND' });
}

/** Records behind, by group and stream. */
function sums(groups: readonly Behind[]): Map<string, number> {
  const behind = new Map<string, number>();
  for (const { group, stream, lag: its } of groups) {
    const name = `${group} of ${stream}`;
    behind.set(name, (behind.get(name) ?? 0) + (its?.items ?? 0));
  }
  return behind;
}

function lagTable(groups: readonly Behind[], io: CommandIo): string {
  const ink = inkFor(io.stdout);
  return table<Behind>(
    [
      { title: 'GROUP', cell: ({ group }) => group },
      { title: 'STREAM', cell: ({ stream }) => stream },
      { title: 'PARTITION', cell: ({ partition }) => partition },
      {
        title: 'BEHIND',
        cell: ({ lag: its }) => its?.items ?? 0,
        ink: (text, { lag: its }) => (its?.items ? ink.worth(text) : text),
      },
      { title: 'BYTES', cell: ({ lag: its }) => bytesText(its?.bytes ?? 0) },
      { title: 'OLDEST', cell: ({ lag: its }) => (its?.items ? durationText(its.oldestMs) : '-') },
      { title: 'CURSOR', cell: ({ cursor }) => cursor },
      { title: 'SETTLED ABOVE', cell: ({ settledAbove }) => settledAbove },
      {
        title: 'OWNED',
        cell: ({ owned }) => (owned ? 'yes' : 'no'),
        ink: (text, { owned }) => (owned ? text : ink.bad(text)),
      },
    ],
    groups,
  );
}
