/** `sluice pipelines`: how pipelines are doing, and what an operator does to them. */

import type { ConsumerProblem, ConsumerStatus, GroupLag } from 'sluice/log';
import type { Sought } from '../../control/seek.js';
import type { PipelineState } from '../../pipelines/pipeline.js';
import type { CommandIo } from '../command-io.js';
import { sentence } from '../command-io.js';
import { type ControlClient, withControl } from '../control-client.js';
import { durationText } from '../duration-text.js';
import { type Ink, inkFor } from '../ink.js';
import { bytesText, counted, plain } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { table } from '../table.js';

/** What can be done with one pipeline. */
export type PipelineAction = 'show' | 'pause' | 'resume' | 'seek' | 'skip-damage';

/** Options of {@link pipelineAction}. */
export interface PipelineActionOptions extends ControlFlags {
  readonly action: PipelineAction;
  readonly pipeline: string;
  /** Where a seek goes. */
  readonly to?: string;
  readonly partition?: number;
  readonly io: CommandIo;
}

/** A pipeline, as the control plane tells of it. */
interface PipelineAnswer extends Pick<ConsumerStatus, 'partitions' | 'tally' | 'aheadBytes' | 'maxAheadBytes'> {
  readonly name: string;
  readonly stream: string;
  readonly group: string;
  readonly state: PipelineState;
  readonly lag: GroupLag;
  /** Why it does not deliver, in a sentence. */
  readonly problem?: string;
  readonly failure?: ConsumerProblem;
  /** Of a seek: where it stands now. */
  readonly sought?: readonly Sought[];
}

/** Prints the pipelines; resolves with the exit code. */
export function listPipelines({ io, ...flags }: ControlFlags & { readonly io: CommandIo }): Promise<number> {
  return withControl(flags, async (control) => {
    const answer = await control.ask<{ readonly pipelines: readonly PipelineAnswer[] }>('GET', '/v1/pipelines', 'pipelines');
    if (flags.json) io.stdout.write(`${JSON.stringify(answer)}\n`);
    else if (answer.pipelines.length === 0) io.stdout.write('There are no pipelines.\n');
    else io.stdout.write(pipelineTable(answer.pipelines, inkFor(io.stdout)));
    return 0;
  });
}

/** Does something with a pipeline and prints how it is then; resolves with the exit code. */
export function pipelineAction({ io, ...options }: PipelineActionOptions): Promise<number> {
  return withControl(options, async (control) => {
    if (options.action === 'skip-damage') {
      const answer = await control.ask<{ readonly skipped: number }>('POST', pathOf(options), 'skipped');
      const text =
        answer.skipped === 0
          ? 'No partition is damaged; nothing was skipped.'
          : `Skipped in ${counted(answer.skipped, 'partition')}.`;
      io.stdout.write(options.json ? `${JSON.stringify(answer)}\n` : `${text}\n`);
      return 0;
    }
    const answer = await actOn(control, options);
    const { sought = [] } = answer;
    const places = sought.map((one) => `${soughtText(one, options.to!)}\n`).join('');
    const ink = inkFor(io.stdout);
    io.stdout.write(
      options.json ? `${JSON.stringify(answer)}\n` : `${places}${places === '' ? '' : '\n'}${pipelineText(answer, ink)}`,
    );
    return 0;
  });
}

function actOn(control: ControlClient, options: Omit<PipelineActionOptions, 'io'>): Promise<PipelineAnswer> {
  const { action, to, partition } = options;
  return control.ask<PipelineAnswer>(action === 'show' ? 'GET' : 'POST', pathOf(options), 'group', { to, partition });
}

function pathOf({ action, pipeline }: Omit<PipelineActionOptions, 'io'>): string {
  const path = `/v1/pipelines/${encodeURIComponent(pipeline)}`;
  return action === 'show' ? path : `${path}/${action}`;
}

/** Where a seek has gone, and why there when that may not be what was asked for. */
function soughtText(sought: Sought, to: string): string {
  const { partition, offset, firstOffset, nextOffset } = sought;
  const at = `Partition ${partition} stands at offset ${offset}`;
  const isFirst = offset === firstOffset && offset < nextOffset ? ', the first that is stored' : '';
  const place = offset === nextOffset ? ', the end' : isFirst;
  const does =
    offset === nextOffset ? 'what comes is delivered, and nothing again' : `${counted(nextOffset - offset, 'record')} to deliver`;
  return `${at}${place}${removedText(sought, to)}: ${does}.`;
}

/** What was asked for may be gone: of a time, nobody knows. */
function removedText({ offset, firstOffset }: Sought, to: string): string {
  if (to === 'end' || offset !== firstOffset || offset === 0) return '';
  const asked = to === 'start' ? 0 : /^\d+$/.test(to) ? Number(to) : undefined;
  if (asked === offset) return '';
  const what = asked === undefined ? 'what came before it' : `offset ${asked}`;
  return `; ${what} is no longer stored (the retention of the stream says what is)`;
}

function pipelineTable(pipelines: readonly PipelineAnswer[], ink: Ink): string {
  const problems = pipelines.filter(({ problem }) => problem !== undefined);
  const rows = table<PipelineAnswer>(
    [
      { title: 'PIPELINE', cell: ({ name }) => name },
      { title: 'STREAM', cell: ({ stream }) => stream },
      {
        title: 'STATE',
        cell: ({ state }) => state,
        ink: (text, { state }) => (state === 'running' ? ink.good(text) : ink.worth(text)),
      },
      { title: 'BEHIND', cell: ({ lag }) => lag.items },
      { title: 'OLDEST', cell: ({ lag }) => (lag.items > 0 ? durationText(lag.oldestMs) : '-') },
      { title: 'OK', cell: ({ tally }) => tally.ok },
      { title: 'DEAD', cell: ({ tally }) => tally.dead, ink: (text, { tally }) => (tally.dead > 0 ? ink.bad(text) : text) },
    ],
    pipelines,
  );
  return rows + problems.map(({ name, problem }) => `${ink.bad(plain(`${name}: ${sentence(problem!)}`))}\n`).join('');
}

function pipelineText(pipeline: PipelineAnswer, ink: Ink): string {
  const { name, stream, group, state, tally, lag, aheadBytes, maxAheadBytes, partitions, problem } = pipeline;
  const facts = [
    ['pipeline', plain(name)],
    ['stream', plain(stream)],
    ['group', plain(group)],
    ['state', state === 'running' ? ink.good(state) : ink.worth(state)],
    [
      'behind',
      `${counted(lag.items, 'record')} (${bytesText(lag.bytes)}${lag.items > 0 ? `, the oldest ${durationText(lag.oldestMs)}` : ''})`,
    ],
    ['since start', `${tally.ok.toLocaleString('en')} delivered, ${tally.dead.toLocaleString('en')} parked as dead letters`],
    ['in memory', `${bytesText(aheadBytes)} of ${bytesText(maxAheadBytes)}`],
  ].map(([what, text]) => `${what!.padEnd(12)}${text}\n`);
  const held = problem === undefined ? '' : `${'problem'.padEnd(12)}${ink.bad(plain(sentence(problem)))}\n`;
  return `${facts.join('')}${held}\n${table(
    [
      { title: 'PARTITION', cell: (row) => row.partition },
      { title: 'STATE', cell: (row) => row.state },
      // Not read yet: 0 would say that all is delivered again.
      { title: 'CURSOR', cell: (row) => (row.state === 'starting' ? '-' : row.cursor) },
      { title: 'IN MEMORY', cell: (row) => row.items },
    ],
    partitions,
  )}`;
}
