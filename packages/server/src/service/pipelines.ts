/** Pipelines: all that a service runs, started together and drained together. */

import { isDeepStrictEqual } from 'node:util';
import { SluiceError } from 'sluice';
import type { Config, PipelineConfig } from '../config/config.js';
import { runsUserCode } from '../config/user-code.js';
import type { Settled } from '../gateway/receive.js';
import { type Pipeline, type PipelineParts, startPipeline } from '../pipelines/pipeline.js';
import { type PipelineCode, pipelineCode } from '../pipelines/pipeline-code.js';
import { settledWithin } from './settled-within.js';

/** The pipelines of a service. */
export interface Pipelines {
  /** Those that run now, and those that are being changed. */
  readonly all: readonly Pipeline[];
  /**
   * Waits until every pipeline that reads a stream has settled some records: `dead` for each that one of them parked. `undefined` when none reads
   * it, or one of them is being changed.
   */
  settled(stream: string): Settled | undefined;
  /** What keeps pipelines from delivering, each with its name. */
  problems(): string[];
  /**
   * Runs those of another configuration from now on: what is no longer there is stopped, what is changed, or runs code of the user's, is stopped and started
   * again where its group stands. What a sink has is settled first, so that nothing is lost and nothing is written twice.
   *
   * @throws SluiceError what a new pipeline cannot start for; the one that was there before runs again then, with the code that it had, and those
   * not yet reached stay. Code that cannot be run is found before anything is stopped.
   */
  change(configs: Config['pipelines'], streams: Config['streams']): Promise<void>;
  /** Delivers what is in the log until the deadline. */
  drain(deadlineMs: number): Promise<{ readonly delivered: number; readonly dead: number; readonly leftInLog: number }>;
  close(): Promise<void>;
}

/**
 * Starts the pipelines of a configuration; those that started are closed again when one of them cannot.
 *
 * @param onStarted told of each pipeline that starts.
 * @throws SluiceError what the first of them cannot start for.
 */
export async function startPipelines(
  configs: Config['pipelines'],
  parts: PipelineParts,
  onStarted: (pipeline: Pipeline) => void,
): Promise<Pipelines> {
  const running = new Map<string, Pipeline>();
  /** Those that a change has stopped, until another is in their place. */
  const replaced = new Map<string, Pipeline>();
  const ended = { delivered: 0, dead: 0 };
  let changing: Promise<unknown> = Promise.resolve();
  let isEnding = false;
  let streams = parts.streams;
  const { clock } = parts.env;
  const all = () => [...running.values()];
  const shown = () => [...all(), ...replaced.values()];

  const codeOf = (name: string, config: PipelineConfig, its = streams) => pipelineCode(name, config, its, parts.folder);

  async function start(name: string, config: PipelineConfig, code: PipelineCode, paused = config.paused): Promise<void> {
    const pipeline = await startPipeline(name, config, code, { ...parts, streams });
    // In the turn in which its consumer came: nothing has been read yet.
    if (paused) await pipeline.consumer.pause();
    replaced.delete(name);
    running.set(name, pipeline);
    onStarted(pipeline);
  }

  async function stop(pipeline: Pipeline): Promise<void> {
    const { ok, dead } = await pipeline.leave();
    // A drain that began meanwhile reports and closes it.
    if (isEnding) return;
    running.delete(pipeline.name);
    replaced.set(pipeline.name, pipeline);
    ended.delivered += ok;
    ended.dead += dead;
    await pipeline.close();
  }

  async function change(next: Config['pipelines'], nextStreams: Config['streams']): Promise<void> {
    const leaving = all().filter((pipeline) => !staysAsItIs(pipeline, next[pipeline.name], streams, nextStreams));
    const leavingNames = leaving.map(({ name }) => name);
    const codes = new Map<string, PipelineCode>();
    for (const [name, config] of Object.entries(next))
      if (!running.has(name) || leavingNames.includes(name)) codes.set(name, await codeOf(name, config, nextStreams));
    streams = nextStreams;
    for (const pipeline of leaving) {
      const { name } = pipeline;
      const config = next[name];
      goOn();
      const isPaused = pipeline.consumer.status().state === 'paused';
      await stop(pipeline);
      goOn();
      if (config === undefined) {
        replaced.delete(name);
        continue;
      }
      // What an operator said stands, unless the configuration says something new about it.
      const paused = config.paused === pipeline.config.paused ? isPaused : config.paused;
      await start(name, config, codes.get(name)!, paused).catch(async (error: unknown) => {
        goOn();
        await start(name, pipeline.config, pipeline.code, isPaused).finally(() => replaced.delete(name));
        throw error;
      });
    }
    for (const [name, config] of Object.entries(next)) {
      if (running.has(name)) continue;
      goOn();
      await start(name, config, codes.get(name)!);
    }
  }

  /** Nothing is stopped or started once all are to end. */
  function goOn(): void {
    if (isEnding) throw new SluiceError('the service is stopping.', { code: 'CLOSED', class: 'rejected' });
  }

  const started = await Promise.allSettled(
    Object.entries(configs).map(async ([name, config]) => start(name, config, await codeOf(name, config))),
  );
  const failed = started.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await Promise.all([...running.values()].map(stop));
    throw failed.reason;
  }
  return {
    get all() {
      return shown();
    },
    settled: (stream) => settledByAll(shown().filter((pipeline) => pipeline.stream === stream)),
    problems: () =>
      shown().flatMap((pipeline) => {
        const problem = pipeline.problem();
        return problem === undefined ? [] : [`the pipeline ${pipeline.name} does not deliver: ${problem}`];
      }),
    change(next, nextStreams) {
      const changed = change(next, nextStreams);
      changing = changed.catch(() => {});
      return changed;
    },
    async drain(deadlineMs) {
      isEnding = true;
      const deadlineAt = clock.now() + deadlineMs;
      const first = all();
      const firstReports = first.map(({ consumer }) => consumer.drain({ deadlineMs }));
      await settledWithin(parts.env, deadlineMs, changing);
      // What was on its way to start has started.
      const late = all().filter((pipeline) => !first.includes(pipeline));
      const left = Math.max(0, deadlineAt - clock.now());
      const lateReports = late.map(({ consumer }) => consumer.drain({ deadlineMs: left }));
      const reports = await Promise.all([...firstReports, ...lateReports]);
      const sum = (name: 'ok' | 'dead' | 'leftInLog') => reports.reduce((total, report) => total + report[name], 0);
      return { delivered: ended.delivered + sum('ok'), dead: ended.dead + sum('dead'), leftInLog: sum('leftInLog') };
    },
    close: async () => void (await Promise.all(all().map((pipeline) => pipeline.close()))),
  };
}

function staysAsItIs(
  { name, config }: Pipeline,
  next: PipelineConfig | undefined,
  streams: Config['streams'],
  nextStreams: Config['streams'],
): boolean {
  const runsCode = runsUserCode(name, config, streams) || runsUserCode(name, config, nextStreams);
  return isDeepStrictEqual(next, config) && !runsCode;
}

function settledByAll(readers: readonly Pipeline[]): Settled | undefined {
  if (readers.length === 0 || readers.some(({ state }) => state === 'changing')) return undefined;
  if (readers.length === 1) return (records, signal) => readers[0]!.consumer.settledAll(records, signal);
  return async (records, signal) => {
    const byReader = await Promise.all(readers.map(({ consumer }) => consumer.settledAll(records, signal)));
    return records.map((_, at) =>
      byReader.some((hows) => hows[at] === 'dead') ? 'dead' : byReader.every((hows) => hows[at] === 'ok') ? 'ok' : undefined,
    );
  };
}
