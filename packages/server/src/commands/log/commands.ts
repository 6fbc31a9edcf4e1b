/** `sluice log`: what a store holds, and whether it is sound. Reads only; the service may be running. */

import { type Command, InvalidArgumentError } from 'commander';
import { exitCodes, whole } from '../arguments.js';
import { commandGroup } from '../command-group.js';
import type { CommandIo } from '../command-io.js';

const dataOption = ['--data <dir>', 'data folder of the service; the store is its folder log', './data'] as const;
const storeOption = ['--store <dir>', 'folder of the store itself, in place of --data'] as const;
const jsonOption = ['--json', 'print JSON'] as const;
const partitionOption = ['--partition <n>', 'the partition', whole('a partition', 0, 1_023)] as const;
const payloadOption = ['--payload', 'print the payloads too (left out otherwise: they may be private)'] as const;

/** Which store. */
export interface StoreFlags {
  readonly data: string;
  readonly store?: string;
  readonly json?: boolean;
}

/** Adds `log` and its commands. */
export function addLog(program: Command, io: CommandIo, done: (code: number) => void): void {
  const log = commandGroup(
    program,
    'log',
    'look into the durable log and check it; the service may be running',
    'sluice log ls\nsluice log verify --data /srv/sluice\nsluice log show events 1200 --count 3 --payload\nsluice log tail events --from start --json',
  );
  addVerify(log, io, done);
  addLs(log, io, done);
  addShow(log, io, done);
  addTail(log, io, done);
}

function addVerify(log: Command, io: CommandIo, done: (code: number) => void): void {
  log
    .command('verify')
    .description('check a store: every chunk, offset, group, dead letter and id')
    .option(...dataOption)
    .option(...storeOption)
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
Exit codes:
  0  the store is sound
  1  something is wrong with it, or it cannot be opened; each line says what
  2  the command was called wrongly

Examples:
  sluice log verify
  sluice log verify --store /backup/log --json`,
    )
    .action(async (flags: StoreFlags) => {
      const { verify } = await import('./verify.js');
      done(await verify({ ...flags, io }));
    });
}

function addLs(log: Command, io: CommandIo, done: (code: number) => void): void {
  log
    .command('ls')
    .description('list streams, groups with their lag, and the number of dead letters')
    .option(...dataOption)
    .option(...storeOption)
    .option(...jsonOption)
    .addHelpText(
      'after',
      `\nExamples:\n  sluice log ls\n  sluice log ls --json | jq '.groups[] | select(.lag.items > 1000)'\n${exitCodes}`,
    )
    .action(async (flags: StoreFlags) => {
      const { ls } = await import('./ls.js');
      done(await ls({ ...flags, io }));
    });
}

function addShow(log: Command, io: CommandIo, done: (code: number) => void): void {
  log
    .command('show')
    .description('show records from an offset on')
    .argument('<stream>', 'name of the stream')
    .argument('[offset]', 'first offset (default: the first one stored)', whole('an offset', 0, Number.MAX_SAFE_INTEGER))
    .option(...dataOption)
    .option(...storeOption)
    .option(...partitionOption, 0)
    .option('--count <n>', 'how many', whole('a number of records', 1, 1_000_000), 1)
    .option(...payloadOption)
    .option(...jsonOption)
    .addHelpText(
      'after',
      `\nExamples:\n  sluice log show events 1200\n  sluice log show events 0 --count 1000 --json --payload > events.ndjson\n${exitCodes}`,
    )
    .action(async (stream: string, offset: number | undefined, flags: ShowFlags) => {
      const { show } = await import('./show.js');
      done(await show({ ...flags, stream, ...(offset === undefined ? {} : { offset }), io }));
    });
}

interface ShowFlags extends StoreFlags {
  readonly partition: number;
  readonly count: number;
  readonly payload?: boolean;
}

function addTail(log: Command, io: CommandIo, done: (code: number) => void): void {
  log
    .command('tail')
    .description('print records as they come, until SIGINT')
    .argument('<stream>', 'name of the stream; it may not exist yet')
    .option(...dataOption)
    .option(...storeOption)
    .option(...partitionOption)
    .option('--from <where>', 'start, end, or an offset of the partition', from, 'end')
    .option(...payloadOption)
    .option(...jsonOption)
    .addHelpText(
      'after',
      `\nExamples:\n  sluice log tail events\n  sluice log tail events --from start --json --payload\n${exitCodes}`,
    )
    .action(async (stream: string, flags: TailFlags) => {
      const { tail } = await import('./tail.js');
      done(await tail({ ...flags, stream, io }));
    });
}

interface TailFlags extends StoreFlags {
  readonly partition?: number;
  readonly from: 'start' | 'end' | number;
  readonly payload?: boolean;
}

function from(text: string): 'start' | 'end' | number {
  if (text === 'start' || text === 'end') return text;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected start, end, or an offset in digits.');
}
