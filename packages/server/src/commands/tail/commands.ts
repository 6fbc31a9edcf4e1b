/** `sluice tail`: the events of a stream as they come, from the gateway of a service. */

import { type Command, InvalidArgumentError } from 'commander';
import { exitCodes, whole } from '../arguments.js';
import type { CommandIo } from '../command-io.js';
import { type GatewayFlags, jsonOption, keyOption, urlOption } from '../service-flags.js';

/** Adds `tail`. */
export function addTail(program: Command, io: CommandIo, done: (code: number) => void): void {
  program
    .command('tail')
    .description('print the events of a stream as they come, one a line, until Ctrl-C')
    .argument('<stream>', 'name of the stream')
    .addOption(urlOption())
    .addOption(keyOption())
    .option('--from <where>', 'start, end, or an offset', from, 'end')
    .option(
      '--partition <n>',
      'this partition alone; an offset needs one where there are several',
      whole('a partition', 0, 1_023),
    )
    .option('--count <n>', 'end after so many events', whole('a number of events', 1, Number.MAX_SAFE_INTEGER))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
When the connection is lost it comes back, and goes on behind the last event it has printed.
A key sees the events of its own tenant; one with the scope admin sees all.

Examples:
  sluice tail events
  sluice tail events --from start --count 10
  sluice tail orders --json | jq -r .event.id
${exitCodes}`,
    )
    .action(async (stream: string, flags: TailFlags) => {
      const { tail } = await import('./tail.js');
      done(await tail({ ...flags, stream, io }));
    });
}

interface TailFlags extends GatewayFlags {
  readonly from: string;
  readonly partition?: number;
  readonly count?: number;
}

function from(text: string): string {
  if (text === 'start' || text === 'end' || /^\d{1,15}$/.test(text)) return text;
  throw new InvalidArgumentError('Expected start, end, or an offset in digits.');
}
