/** `sluice up`: runs the service until a signal, then drains it and says exactly what became of everything. */

import type { SluiceError } from 'sluice';
import { changeText } from '../config/diff.js';
import type { Loaded } from '../config/load.js';
import { reread } from '../config/reread.js';
import { type Service, startService } from '../service/service.js';
import type { StopReport } from '../service/stop.js';
import { banner } from './banner.js';
import { sentence } from './command-io.js';

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

type Signal = (typeof signals)[number];

/** Where a command writes, and what it listens to; a test gives its own. */
export interface UpSurroundings {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Calls `fn` on SIGTERM, SIGINT and SIGHUP; returns how to stop that. */
  readonly onSignal: (fn: (signal: Signal) => void) => () => void;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
  /** A terminal is there, which sends SIGHUP when it is closed. */
  readonly isTerminal: boolean;
}

const process_: UpSurroundings = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  onSignal(fn) {
    for (const signal of signals) process.on(signal, fn);
    return () => {
      for (const signal of signals) process.off(signal, fn);
    };
  },
  exit: (code) => process.exit(code),
  isTerminal: process.stdout.isTTY === true || process.stdin.isTTY === true,
};

/**
 * Runs the service until SIGTERM, SIGINT, SIGHUP (its terminal was closed) or a drain from the control plane, then drains it. Without a
 * terminal SIGHUP reads the configuration file again.
 *
 * @returns the exit code: 0 when nothing was lost, 1 when something was, or when it could not start or go on. A second signal ends
 * the process at once, with 128 and its number: 143, 130, 129.
 */
export async function up(loaded: Loaded, surroundings: UpSurroundings = process_): Promise<number> {
  const { out, err } = surroundings;
  let reload: (() => void) | undefined;
  const stopWish = listenForSignals((fn) =>
    surroundings.onSignal((signal) => (signal === 'SIGHUP' && reload !== undefined ? reload() : fn(signal))),
  );
  try {
    const startedAt = performance.now();
    const service = await startService(loaded);
    out(banner(service, loaded, performance.now() - startedAt));
    for (const each of service.problems)
      err(`sluice: ${sentence(`${each.replace(/\.(?=\)?$)/, '')}; events are kept in the log`)}\n`);
    if (loaded.file !== undefined && !surroundings.isTerminal) reload = () => void reloadNow(service, surroundings);
    const drained = service.drainWanted.then(() => 'drain' as const);
    const cause = await Promise.race([stopWish.first, service.broken, drained]);
    stopWish.onNext((signal) => surroundings.exit(stopAtOnce(service, signal, err)));
    return await stopInOrder(service, service.live.loaded.config.drainDeadlineMs, cause, surroundings);
  } catch (error) {
    err(`sluice: ${problem(error)}\n`);
    return 1;
  } finally {
    stopWish.stop();
  }
}

async function reloadNow(service: Service, { out, err }: UpSurroundings): Promise<void> {
  try {
    const changes = await service.live.apply(await reread(service.live.loaded));
    out(
      changes.length === 0
        ? 'Reloaded: nothing has changed.\n'
        : `Reloaded:\n${changes.map((change) => `  ${changeText(change)}\n`).join('')}`,
    );
    const { restartDue } = service.live;
    if (restartDue.length > 0) out(`Waiting for a restart: ${restartDue.map(({ path }) => path).join(', ')}.\n`);
  } catch (error) {
    err(`sluice: the configuration was not taken, and stays as it was: ${problem(error)}\n`);
  }
}

async function stopInOrder(service: Service, deadlineMs: number, cause: string, { out, err }: UpSurroundings): Promise<number> {
  const wanted = cause === 'drain' || (signals as readonly string[]).includes(cause);
  if (!wanted) err(`sluice: ${sentence(cause)}\n`);
  out(
    `\n${wanted ? cause : 'Stopping'}: taking no more events, delivering what is in the log (at most ${deadlineMs / 1000} s) …\n`,
  );
  const report = await service.stop(deadlineMs);
  out(reportText(report));
  return report.lost === 0 && wanted && report.pipelineProblem === undefined ? 0 : 1;
}

function stopAtOnce(service: Service, signal: Signal, err: (text: string) => void): number {
  const { memoryOnly } = service.abandon();
  const lost = `${memoryOnly} ${memoryOnly === 1 ? 'event' : 'events'} existed in memory alone and ${memoryOnly === 1 ? 'is' : 'are'} lost`;
  err(`${signal} again: stopped at once. ${lost}; everything else is in the log.\n`);
  return { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }[signal];
}

/** One listener from the start to the end: between two, a signal would end the process. */
function listenForSignals(onSignal: UpSurroundings['onSignal']) {
  let onNext: ((signal: Signal) => void) | undefined;
  let stop!: () => void;
  const first = new Promise<Signal>((resolve) => {
    stop = onSignal((signal) => {
      onNext?.(signal);
      resolve(signal);
    });
  });
  return {
    first,
    stop,
    onNext(fn: (signal: Signal) => void) {
      onNext = fn;
    },
  };
}

function problem(error: unknown): string {
  const { message, code } = error as SluiceError;
  return sentence(
    code === 'LISTEN_FAILED' ? `${message} (--port N for the data plane, --control-port N for the control plane)` : message,
  );
}

function reportText({ delivered, dead, leftInLog, unread, lost, pipelineProblem, durationMs }: StopReport): string {
  const lines: [string, number, string][] = [
    ['delivered since the start', delivered, ''],
    ['parked as dead letters since the start', dead, ''],
    [
      'left in the log',
      leftInLog,
      pipelineProblem === undefined ? '(safe: delivered after the next start)' : '(kept: the pipeline had stopped)',
    ],
    ['in streams that no pipeline reads', unread, '(safe: kept in the log)'],
    ['lost', lost, '(they existed in memory alone)'],
  ];
  const always = lines.filter(([label, n]) => n > 0 || !label.startsWith('in streams'));
  const text = always
    .map(([label, n, note]) => `  ${label.padEnd(42)}${n}${n === 0 || note === '' ? '' : `   ${note}`}\n`)
    .join('');
  const problem = pipelineProblem === undefined ? '' : `The pipeline had stopped: ${pipelineProblem}\n`;
  return `Stopped after ${(durationMs / 1000).toFixed(1)} s.\n${text}${problem}`;
}
