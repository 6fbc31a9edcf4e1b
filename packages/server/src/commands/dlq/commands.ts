/** `sluice dlq`: dead letters looked at, sent again, and removed; and the jobs that send them. */

import type { Command } from 'commander';
import { whole } from '../arguments.js';
import { commandGroup } from '../command-group.js';
import type { CommandIo } from '../command-io.js';
import { controlCommand } from '../service/commands.js';
import type { ControlFlags } from '../service-flags.js';
import { type FilterFlags, withFilter } from './filter-flags.js';

/** Adds `dlq` and its commands. */
export function addDlq(program: Command, io: CommandIo, done: (code: number) => void): void {
  const dlq = commandGroup(
    program,
    'dlq',
    'dead letters: list, group, show, send again, remove',
    'sluice dlq groups\nsluice dlq ls --code PG_23514 --limit 20\nsluice dlq redrive --code PG_23514 --limit 10\nsluice dlq purge --state redriven --yes',
  );
  addLs(dlq, io, done);
  addGroups(dlq, io, done);
  addShow(dlq, io, done);
  addRedrive(dlq, io, done);
  addJobs(dlq, io, done);
  addPurge(dlq, io, done);
}

function addLs(dlq: Command, io: CommandIo, done: (code: number) => void): void {
  const description = 'list letters: a line each, one JSON document a line with --json';
  withFilter(controlCommand(dlq, 'ls', description, 'sluice dlq ls\nsluice dlq ls --tenant shop --json --limit 100000'))
    .option('--limit <n>', 'at most so many', whole('a number of letters', 1, 10_000_000), 100)
    .option('--payload', 'with --json: the payloads too (left out otherwise: they may be private)')
    .action(async (flags: ControlFlags & FilterFlags & { readonly limit: number; readonly payload?: boolean }) => {
      const { ls } = await import('./ls.js');
      done(await ls({ ...flags, io }));
    });
}

function addGroups(dlq: Command, io: CommandIo, done: (code: number) => void): void {
  const description = 'count letters by what they failed with, the most frequent first';
  withFilter(controlCommand(dlq, 'groups', description, 'sluice dlq groups\nsluice dlq groups --stream orders --json')).action(
    async (flags: ControlFlags & FilterFlags) => {
      const { groups } = await import('./groups.js');
      done(await groups({ ...flags, io }));
    },
  );
}

function addShow(dlq: Command, io: CommandIo, done: (code: number) => void): void {
  const description = 'show one letter: where it came from, each failed try, and its payload where asked for';
  controlCommand(dlq, 'show', description, 'sluice dlq show events/events/0/1204\nsluice dlq show events/events/0/1204 --payload')
    .argument('<id>', 'of the letter, as `dlq ls` prints it')
    .option('--payload', 'print the payload too (left out otherwise: it may be private)')
    .action(async (id: string, flags: ControlFlags & { readonly payload?: boolean }) => {
      const { show } = await import('./show.js');
      done(await show({ ...flags, id, io }));
    });
}

function addRedrive(dlq: Command, io: CommandIo, done: (code: number) => void): void {
  const description = 'send letters again, and wait until that is done; Ctrl-C cancels it, and says how far it came';
  const examples =
    'sluice dlq redrive --dry-run\nsluice dlq redrive --code PG_23514 --limit 10\nsluice dlq redrive --group orders --per-second 50';
  withFilter(controlCommand(dlq, 'redrive', description, examples))
    .option('--dry-run', 'say how many it would be')
    .option('--limit <n>', 'at most so many: send a few first, and look', whole('a number of letters', 1, 999_999_999_999))
    .option('--per-second <n>', 'so many a second (default: 100)', whole('letters a second', 1, 1_000_000))
    .option('--target <stream>', 'into this stream (default: the one that each came from)')
    .action(async (flags: ControlFlags & FilterFlags & RedriveFlags) => {
      const { redrive } = await import('./redrive.js');
      done(await redrive({ ...flags, io }));
    });
}

interface RedriveFlags {
  readonly dryRun?: boolean;
  readonly limit?: number;
  readonly perSecond?: number;
  readonly target?: string;
}

function addJobs(dlq: Command, io: CommandIo, done: (code: number) => void): void {
  const jobs = commandGroup(
    dlq,
    'jobs',
    'redrives, those that run and those that have ended: list, show, cancel',
    'sluice dlq jobs\nsluice dlq jobs show 3\nsluice dlq jobs cancel 3',
  );
  controlCommand(
    jobs,
    'ls',
    'list the jobs since the start of the service',
    'sluice dlq jobs\nsluice dlq jobs --json',
    true,
  ).action(async (flags: ControlFlags) => {
    const { jobs: list } = await import('./jobs.js');
    done(await list({ ...flags, io }));
  });
  const one = (name: 'show' | 'cancel', description: string): Command =>
    controlCommand(jobs, name, description, `sluice dlq jobs ${name} 3`)
      .argument('<id>', 'of the job, as `dlq jobs` prints it')
      .action(async (id: string, flags: ControlFlags) => {
        const { job } = await import('./jobs.js');
        done(await job({ ...flags, id, cancel: name === 'cancel', io }));
      });
  one('show', 'say how far one job has come');
  one('cancel', 'end a job: what was not sent stays parked');
}

function addPurge(dlq: Command, io: CommandIo, done: (code: number) => void): void {
  const description = 'remove letters for good; without --yes it only says how many';
  const examples =
    'sluice dlq purge --state redriven --dry-run\nsluice dlq purge --parked-before 2026-01-01T00:00:00Z --yes\nsluice dlq purge --all --yes';
  withFilter(controlCommand(dlq, 'purge', description, examples))
    .option('--all', 'all letters: without a filter, nothing else does')
    .option('--dry-run', 'say how many it would be')
    .option('--yes', 'yes, remove them: they are gone then')
    .action(
      async (
        flags: ControlFlags & FilterFlags & { readonly all?: boolean; readonly dryRun?: boolean; readonly yes?: boolean },
      ) => {
        const { purge } = await import('./purge.js');
        done(await purge({ ...flags, io }));
      },
    );
}
