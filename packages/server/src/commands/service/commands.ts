/** `sluice streams`, `lag`, `tenants`, `pipelines`, `reload` and `drain`: a service that runs, looked at and steered. */

import { type Command, InvalidArgumentError } from 'commander';
import { exitCodes, whole } from '../arguments.js';
import { commandGroup } from '../command-group.js';
import type { CommandIo } from '../command-io.js';
import { type ControlFlags, controlOption, jsonOption, keyOption } from '../service-flags.js';
import type { PipelineAction } from './pipelines.js';

/** Adds the commands. */
export function addService(program: Command, io: CommandIo, done: (code: number) => void): void {
  addStreams(program, io, done);
  addLag(program, io, done);
  addTenants(program, io, done);
  addPipelines(program, io, done);
  addReload(program, io, done);
  addDrain(program, io, done);
}

/**
 * A command that talks to the control plane, with the options of each of them.
 *
 * @param isDefault runs where `parent` is called without the name of a command. Default false.
 */
export function controlCommand(parent: Command, name: string, description: string, examples: string, isDefault = false): Command {
  return parent
    .command(name, { isDefault })
    .description(description)
    .addOption(controlOption())
    .addOption(keyOption())
    .addOption(jsonOption())
    .addHelpText('after', `\nExamples:\n${examples.replace(/^/gm, '  ')}\n${exitCodes}`);
}

function addStreams(program: Command, io: CommandIo, done: (code: number) => void): void {
  controlCommand(
    program,
    'streams',
    'list the streams of the log: how many records, how many bytes, since when',
    'sluice streams\nsluice streams --control http://10.0.0.7:8081 --json',
  ).action(async (flags: ControlFlags) => {
    const { streams } = await import('./streams.js');
    done(await streams({ ...flags, io }));
  });
}

function addLag(program: Command, io: CommandIo, done: (code: number) => void): void {
  controlCommand(
    program,
    'lag',
    'say how far each group is behind, in records, bytes and time',
    "sluice lag\nsluice lag --stream orders\nsluice lag --json | jq '[.groups[].lag.items] | add'",
  )
    .option('--stream <name>', 'of this stream alone')
    .option('--group <name>', 'of this group alone')
    .option(
      '--most <n>',
      'exit code 1 when a group is behind by more records, or there is none',
      whole('records', 0, Number.MAX_SAFE_INTEGER),
    )
    .action(async (flags: LagFlags) => {
      const { lag } = await import('./lag.js');
      done(await lag({ ...flags, io }));
    });
}

interface LagFlags extends ControlFlags {
  readonly stream?: string;
  readonly group?: string;
  readonly most?: number;
}

function addTenants(program: Command, io: CommandIo, done: (code: number) => void): void {
  controlCommand(
    program,
    'tenants',
    'list what each tenant may send, what it has under way, and how often it was refused',
    "sluice tenants\nsluice tenants --json | jq '.tenants[] | select(.refused > 0)'",
  ).action(async (flags: ControlFlags) => {
    const { tenants } = await import('./tenants.js');
    done(await tenants({ ...flags, io }));
  });
}

function addPipelines(program: Command, io: CommandIo, done: (code: number) => void): void {
  const pipelines = commandGroup(
    program,
    'pipelines',
    'look at pipelines; pause, resume and replay them',
    'sluice pipelines ls\nsluice pipelines pause orders\nsluice pipelines seek orders --to 2026-01-31T12:00:00Z',
  );
  controlCommand(
    pipelines,
    'ls',
    'list the pipelines, and what holds them up',
    'sluice pipelines ls\nsluice pipelines ls --json',
  ).action(async (flags: ControlFlags) => {
    const { listPipelines } = await import('./pipelines.js');
    done(await listPipelines({ ...flags, io }));
  });
  const act = (name: PipelineAction, description: string): Command =>
    controlCommand(pipelines, name, description, `sluice pipelines ${name} orders${name === 'seek' ? ' --to start' : ''}`)
      .argument('<pipeline>', 'its name in the configuration')
      .action(async (pipeline: string, flags: ControlFlags & { readonly to?: string; readonly partition?: number }) => {
        const { pipelineAction } = await import('./pipelines.js');
        done(await pipelineAction({ ...flags, action: name, pipeline, io }));
      });
  act('show', 'show one pipeline: its partitions, its tally, its problem');
  act('pause', 'stop reading, and wait until nothing is on its way; events wait in the log');
  act('resume', 'read on, after a pause or a halt');
  act('seek', 'deliver again, or pass over: go to a place in the stream')
    .requiredOption('--to <where>', 'start, end, an offset, or a time such as 2026-01-31T12:00:00Z', place)
    .option('--partition <n>', 'in this partition alone', whole('a partition', 0, 1_023));
  act('skip-damage', 'give up records that cannot be read; they are counted as skipped');
}

function addReload(program: Command, io: CommandIo, done: (code: number) => void): void {
  controlCommand(
    program,
    'reload',
    'show what has changed in the configuration, then change it in the service that runs',
    'sluice reload --dry-run\nsluice reload\nsluice reload --undo',
  )
    .option('--dry-run', 'show it only')
    .option('--undo', 'go back to the configuration before the last reload that changed something')
    .action(async (flags: ControlFlags & { readonly dryRun?: boolean; readonly undo?: boolean }) => {
      const { reload } = await import('./reload.js');
      done(await reload({ ...flags, io }));
    });
}

function addDrain(program: Command, io: CommandIo, done: (code: number) => void): void {
  controlCommand(
    program,
    'drain',
    'stop the service in order, as SIGTERM does: no more intake, deliver what is in the log, then exit',
    'sluice drain\nsluice drain --wait',
  )
    .option(
      '--wait',
      'return when the service has stopped and its data folder is free: with 0 also when records are left in the log; Ctrl-C stops the waiting alone',
    )
    .action(async (flags: ControlFlags & { readonly wait?: boolean }) => {
      const { drain } = await import('./drain.js');
      done(await drain({ ...flags, io }));
    });
}

function place(text: string): string {
  if (text === 'start' || text === 'end' || /^\d{1,15}$/.test(text)) return text;
  if (/^\d{4}-\d{2}-\d{2}T/.test(text) && !Number.isNaN(Date.parse(text))) return text;
  throw new InvalidArgumentError('Expected start, end, an offset in digits, or a time such as 2026-01-31T12:00:00Z.');
}
