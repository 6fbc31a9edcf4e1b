/** `sluice outboxes`: the outboxes that a service relays, and their dead letters. */

import type { Command } from 'commander';
import { whole } from '../arguments.js';
import { commandGroup } from '../command-group.js';
import type { CommandIo } from '../command-io.js';
import { controlCommand } from '../service/commands.js';
import type { ControlFlags } from '../service-flags.js';

/** Adds `outboxes` and its commands. */
export function addOutboxes(program: Command, io: CommandIo, done: (code: number) => void): void {
  const outboxes = commandGroup(
    program,
    'outboxes',
    'look at the outboxes that the service relays, and at their dead letters',
    'sluice outboxes ls\nsluice outboxes letters shop --code INVALID_VALUE\nsluice outboxes redrive shop --id 4711',
  );
  controlCommand(
    outboxes,
    'ls',
    'list outboxes: how far behind, and what keeps one from being relayed',
    'sluice outboxes ls',
    true,
  ).action(async (flags: ControlFlags) => {
    const { ls } = await import('./ls.js');
    done(await ls({ ...flags, io }));
  });
  withFilter(
    outboxes,
    'letters',
    'list the dead letters of an outbox, the oldest first',
    'sluice outboxes letters shop --payload',
  )
    .option('--payload', 'the payloads too (left out otherwise: they may be private)')
    .action(async (name: string, flags: Flags & { readonly payload?: boolean }) => {
      const { letters } = await import('./letters.js');
      done(await letters({ ...flags, name, io }));
    });
  withFilter(
    outboxes,
    'redrive',
    'put dead letters back into the outbox, behind what is there',
    'sluice outboxes redrive shop --limit 10',
  ).action(async (name: string, flags: Flags) => {
    const { redrive } = await import('./letters.js');
    done(await redrive({ ...flags, name, io }));
  });
  withFilter(
    outboxes,
    'purge',
    'remove dead letters of an outbox for good',
    'sluice outboxes purge shop --code INVALID_VALUE --yes',
  )
    .option('--all', 'every letter of the outbox')
    .option('--yes', 'remove them; without it, nothing is removed')
    .action(async (name: string, flags: Flags & { readonly all?: boolean; readonly yes?: boolean }) => {
      const { purge } = await import('./letters.js');
      done(await purge({ ...flags, name, io }));
    });
}

interface Flags extends ControlFlags {
  readonly code?: string;
  readonly id?: readonly string[];
  readonly limit?: number;
}

function withFilter(outboxes: Command, name: string, description: string, examples: string): Command {
  return controlCommand(outboxes, name, description, examples)
    .argument('<name>', 'of the outbox')
    .option('--code <code>', 'failed with this code')
    .option('--id <id>', 'this event; may be repeated', (id, others: readonly string[] = []) => [...others, id])
    .option('--limit <n>', 'at most so many, the oldest first (letters: 100)', whole('a number of letters', 1, 9_999));
}
