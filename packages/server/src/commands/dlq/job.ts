/** Job: a redrive as the control plane tells of it, printed as one sentence. */

import type { DeadLetterFilter, RedriveProgress } from 'sluice/log';
import { type CommandIo, sentence } from '../command-io.js';
import { counted, number } from '../log/print.js';

/** A redrive of a service. */
export interface JobAnswer extends RedriveProgress {
  readonly id: string;
  readonly startedAt: number;
  /** Which letters it sends. */
  readonly filter: DeadLetterFilter;
  /** Where to, if not into the stream that each came from. */
  readonly target?: string;
  /** It only counts. */
  readonly dryRun: boolean;
  readonly failure?: string;
}

/** Where a job is asked for. */
export function jobPath(id: string): string {
  return `/v1/redrives/${encodeURIComponent(id)}`;
}

/** Prints how far a job has come, and why it failed if it did. */
export function printJob(job: JobAnswer, json: boolean, io: CommandIo): void {
  io.stdout.write(`${json ? JSON.stringify(job) : jobText(job)}\n`);
  if (job.state === 'failed') io.stderr.write(`sluice dlq: ${sentence(job.failure ?? 'the redrive failed')}\n`);
}

function jobText({ state, matched, redriven, duplicates, left, dryRun }: JobAnswer): string {
  if (dryRun) return `${counted(matched, 'letter')} would be sent again.`;
  if (matched === 0 && state === 'done') return 'There are no such dead letters; nothing was sent.';
  const known = duplicates === 0 ? '' : `, ${counted(duplicates, 'letter')} had been sent already`;
  const rest = left === 0 ? '' : `, ${number(left)} not sent: they stay parked`;
  const how = { running: 'Running: ', done: '', cancelled: 'Cancelled: ', failed: 'Failed: ' }[state];
  return `${how}${number(redriven)} of ${counted(matched, 'letter')} sent again${known}${state === 'running' ? `, ${number(left)} to go` : rest}.`;
}
