/** `sluice dlq redrive`: dead letters sent again as a job of the service, watched until it ends. */

import { setTimeout as pause } from 'node:timers/promises';
import type { SluiceError } from 'sluice';
import { type CommandIo, sentence } from '../command-io.js';
import { type ControlClient, withControl } from '../control-client.js';
import { interruptible } from '../interrupt.js';
import { counted, number } from '../log/print.js';
import { createProgressLine } from '../progress-line.js';
import type { ControlFlags } from '../service-flags.js';
import { type FilterFlags, filterQuery } from './filter-flags.js';
import { type JobAnswer, jobPath, printJob } from './job.js';

/** Options of {@link redrive}. */
export interface RedriveOptions extends ControlFlags, FilterFlags {
  readonly dryRun?: boolean;
  /** Letters at most. Default: all that fit. */
  readonly limit?: number;
  /** Letters a second. Default: that of the service, 100. */
  readonly perSecond?: number;
  /** The stream that they go into. Default: the one that each came from. */
  readonly target?: string;
  readonly io: CommandIo;
  /** Cancels it, as SIGINT does. */
  readonly signal?: AbortSignal;
}

const askMs = 200;

/** Sends letters again; resolves with the exit code: 1 when it failed or was cancelled before its end. */
export function redrive({ io, signal, ...options }: RedriveOptions): Promise<number> {
  return interruptible(
    (interrupted) =>
      withControl(options, async (control) => {
        const { dryRun = false, limit, perSecond, target } = options;
        const query = { ...filterQuery(options), limit, perSecond, target, ...(dryRun ? { dry: 'true' } : {}) };
        const started = await control.ask<JobAnswer>('POST', '/v1/redrives', 'matched', query);
        const job = await watch(control, started, io, interrupted);
        printJob(job, options.json ?? false, io);
        if (!options.json && !dryRun && job.state === 'done' && job.redriven > 0)
          io.stdout.write('They are letters again if they fail once more; see `sluice dlq ls`.\n');
        return job.state === 'done' ? 0 : 1;
      }),
    signal,
  );
}

/** Asks how far the job is until it has ended; an interrupt cancels it. */
async function watch(control: ControlClient, started: JobAnswer, io: CommandIo, signal: AbortSignal): Promise<JobAnswer> {
  const progress = createProgressLine(io.stderr, 'sluice dlq');
  const path = jobPath(started.id);
  let job = started;
  try {
    while (job.state === 'running') {
      const { matched, left } = job;
      const share = matched === 0 ? undefined : (matched - left) / matched;
      progress.update(() => ({ text: `${number(matched - left)} of ${counted(matched, 'letter')} sent again`, share }));
      await pause(askMs, undefined, { signal }).catch(() => {});
      // The job has ended when the answer comes: it says how far it came.
      job = await control.ask<JobAnswer>(signal.aborted ? 'DELETE' : 'GET', path, 'matched');
    }
    return job;
  } catch (error) {
    progress.note(`it is not known how far the redrive ${started.id} came: ${sentence((error as SluiceError).message)}`);
    throw error;
  } finally {
    progress.end();
  }
}
