/** Command group: a command that is nothing but others, such as `sluice dlq`. */

import type { Command } from 'commander';
import { nearest } from '../config/suggest.js';
import { exitCodes } from './arguments.js';

/** Adds a group, without its commands. One that it has not is refused with those that it has, also where one of them is the default. */
export function commandGroup(parent: Command, name: string, description: string, examples: string): Command {
  const group = parent
    .command(name)
    .description(description)
    .addHelpText('after', `\nExamples:\n${examples.replace(/^/gm, '  ')}\n${exitCodes}`);
  const isKnown = (first: string): boolean => group.commands.some((one) => one.name() === first);
  // With a default command the first word would be taken for its argument.
  group.hook('preSubcommand', ({ args: [first] }) => {
    if (first !== undefined && !first.startsWith('-') && !isKnown(first)) refuse(group, first);
  });
  return group.on('command:*', ([first]: readonly string[]) => refuse(group, first!));
}

function refuse(group: Command, name: string): void {
  const known = group.commands.map((one) => one.name());
  const meant = nearest(name, known);
  const suggestion = meant === undefined ? '' : `\n(Did you mean ${meant}?)`;
  group.error(`error: unknown command '${name}'; there are ${known.join(', ')}${suggestion}`, {
    code: 'commander.unknownCommand',
  });
}
