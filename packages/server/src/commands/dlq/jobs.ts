/** `sluice dlq jobs`: redrives of a service, those that run and those that have ended. */

import type { CommandIo } from '../command-io.js';
import { withControl } from '../control-client.js';
import { type Ink, inkFor } from '../ink.js';
import { counted } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { table } from '../table.js';
import { type JobAnswer, jobPath, printJob } from './job.js';
import { timeText } from './letter.js';

/** Prints the jobs, the latest last; resolves with the exit code. */
export function jobs({ io, ...flags }: ControlFlags & { readonly io: CommandIo }): Promise<number> {
  return withControl(flags, async (control) => {
    const answer = await control.ask<{ readonly redrives: readonly JobAnswer[] }>('GET', '/v1/redrives', 'redrives');
    if (flags.json) io.stdout.write(`${JSON.stringify(answer)}\n`);
    else if (answer.redrives.length === 0) io.stdout.write('There were no redrives since the start of the service.\n');
    else io.stdout.write(jobTable(answer.redrives, inkFor(io.stdout)));
    return 0;
  });
}

/** Options of {@link job}. */
export interface JobOptions extends ControlFlags {
  readonly id: string;
  /** Ends it first. */
  readonly cancel: boolean;
  readonly io: CommandIo;
}

/** Prints one job, cancelled first where that is wanted; resolves with the exit code: 1 when the job has failed. */
export function job({ io, id, cancel, ...flags }: JobOptions): Promise<number> {
  return withControl(flags, async (control) => {
    const found = await control.ask<JobAnswer>(cancel ? 'DELETE' : 'GET', jobPath(id), 'matched');
    printJob(found, flags.json ?? false, io);
    return found.state === 'failed' ? 1 : 0;
  });
}

function jobTable(found: readonly JobAnswer[], ink: Ink): string {
  const inkOf = { running: ink.worth, done: ink.good, cancelled: ink.worth, failed: ink.bad };
  return table<JobAnswer>(
    [
      { title: 'JOB', cell: ({ id }) => id },
      {
        title: 'STATE',
        cell: ({ state, dryRun }) => (dryRun ? `${state} (dry run)` : state),
        ink: (text, { state }) => inkOf[state](text),
      },
      { title: 'STARTED', cell: ({ startedAt }) => timeText(startedAt) },
      { title: 'LETTERS', cell: ({ matched }) => matched },
      { title: 'SENT', cell: ({ redriven, duplicates }) => redriven + duplicates },
      { title: 'LEFT', cell: ({ left }) => left },
      { title: 'WHICH', cell: whichText },
    ],
    found,
  );
}

function whichText({ filter, target }: JobAnswer): string {
  const parts = Object.entries(filter).map(([name, value]) =>
    name === 'ids' ? counted((value as readonly string[]).length, 'id') : `${name}=${value}`,
  );
  return `${parts.length === 0 ? 'all' : parts.join(' ')}${target === undefined ? '' : ` into ${target}`}`;
}
