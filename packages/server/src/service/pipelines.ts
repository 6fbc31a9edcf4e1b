/** Pipelines: all that a service runs, started together and drained together. */

import { isDeepStrictEqual } from 'node:util';
import { SluiceError } from 'sluice';
import type { Config, PipelineConfig } from '../config/config.js';
import { runsUserCode } from '../config/user-code.js';
import type { Settled } from '../gateway/committed.js';
import { type Pipeline, type PipelineParts, startPipeline } from '../pipelines/pipeline.js';
import { type PipelineCode, pipelineCode } from '../pipelines/pipeline-code.js';
import { settledWithin } from './settled-within.js';

/** The pipelines of a service. */
export interface Pipelines {
  /** Those that run now, and those that are being changed. */
  readonly all: readonly Pipeline[];
  /**
   * Waits until every pipeline that reads a stream has settled some records: `dead` for each that one of them parked. `undefined` when none reads
   * it, or one of them is being changed or could not be started again.
   */
  settled(stream: string): Settled | undefined;
  /** Those of such a configuration call their sinks at once, whatever their breakers wait for: what they write to is back. */
  probe(writesThere: (config: PipelineConfig) => boolean): void;
  /** What keeps pipelines from delivering, each with its name. */
  problems(): string[];
  /**
   * Runs those of another configuration from now on: what is no longer there is stopped, what is changed, or runs code of the user's, is stopped and started
   * again where its group stands. What a sink has is settled first, so that nothing is lost and nothing is written twice.
   *
   * @throws SluiceError what a pipeline cannot start for; those that were there before run again then, with the code that they had. One that cannot
   * be started again stays in `all`, `stopped`, and says why, until a change succeeds. Code that cannot be run is found before anything is stopped.
   */
  change(configs: Config['pipelines'], streams: Config['streams']): Promise<void>;
  /** Delivers what is in the log until the deadline. */
  drain(deadlineMs: number): Promise<{ readonly delivered: number; readonly dead: number; readonly leftInLog: number }>;
  close(): Promise<void>;
}

/** What ran before a change, and how. */
interface Before {
  readonly running: ReadonlyMap<string, Pipeline>;
  /** Those that could not be started again after an earlier change. */
  readonly stranded: ReadonlyMap<string, Pipeline>;
  readonly paused: Set<string>;
  readonly streams: Config['streams'];
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
  /** Those that a change has stopped, until another is in their place or the change has ended; and those that could not be started again. */
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
    try {
      takeOut(pipeline, await pipeline.leave());
    } catch (error) {
      // It delivers no more, though it could not say how far it came: another must be able to take its place.
      takeOut(pipeline, pipeline.consumer.status().tally);
      if (!isEnding) await pipeline.close().catch(() => {});
      throw error;
    }
    if (!isEnding) await pipeline.close();
  }

  function takeOut(pipeline: Pipeline, { ok, dead }: { readonly ok: number; readonly dead: number }): void {
    // A drain that began meanwhile reports and closes it.
    if (isEnding) return;
    running.delete(pipeline.name);
    replaced.set(pipeline.name, pipeline);
    ended.delivered += ok;
    ended.dead += dead;
  }

  async function change(next: Config['pipelines'], nextStreams: Config['streams']): Promise<void> {
    const leaving = all().filter((pipeline) => !staysAsItIs(pipeline, next[pipeline.name], streams, nextStreams));
    const leavingNames = leaving.map(({ name }) => name);
    const codes = new Map<string, PipelineCode>();
    for (const [name, config] of Object.entries(next))
      if (!running.has(name) || leavingNames.includes(name)) codes.set(name, await codeOf(name, config, nextStreams));
    const before = { running: new Map(running), stranded: new Map(replaced), paused: new Set<string>(), streams };
    streams = nextStreams;
    try {
      for (const pipeline of leaving) {
        const { name } = pipeline;
        const config = next[name];
        goOn();
        const isPaused = pipeline.consumer.status().state === 'paused';
        if (isPaused) before.paused.add(name);
        await stop(pipeline);
        goOn();
        // What an operator said stands, unless the configuration says something new about it.
        if (config !== undefined)
          await start(name, config, codes.get(name)!, config.paused === pipeline.config.paused ? isPaused : config.paused);
      }
      for (const [name, config] of Object.entries(next)) {
        if (running.has(name)) continue;
        goOn();
        await start(name, config, codes.get(name)!);
      }
    } catch (error) {
      if (!isEnding) await goBack(before);
      throw error;
    }
    for (const name of replaced.keys()) if (next[name] === undefined) replaced.delete(name);
  }

  /** Never fails: a pipeline that cannot be started again stays in the list, and says why. */
  async function goBack(before: Before): Promise<void> {
    streams = before.streams;
    for (const pipeline of all().filter((one) => before.running.get(one.name) !== one)) {
      // One that cannot be closed is not to keep the others from coming back.
      await stop(pipeline).catch(() => {});
      if (isEnding) return;
      replaced.delete(pipeline.name);
    }
    for (const [name, pipeline] of before.stranded) replaced.set(name, pipeline);
    for (const [name, pipeline] of before.running) {
      if (running.has(name)) continue;
      replaced.set(name, pipeline);
      await start(name, pipeline.config, pipeline.code, before.paused.has(name)).catch(pipeline.strand);
      if (isEnding) return;
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
    await Promise.allSettled([...running.values()].map(stop));
    throw failed.reason;
  }
  return {
    get all() {
      return shown();
    },
    // Asked for each request: it makes no list of all, and looks at no more of them than it must.
    settled(stream) {
      for (const { stream: its } of replaced.values()) if (its === stream) return undefined;
      const readers: Pipeline[] = [];
      for (const pipeline of running.values()) {
        if (pipeline.stream !== stream) continue;
        if (pipeline.isLeaving) return undefined;
        readers.push(pipeline);
      }
      return settledByAll(readers);
    },
    probe(writesThere) {
      for (const { config, consumer } of all()) if (writesThere(config)) consumer.probe();
    },
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
  if (readers.length === 0) return undefined;
  if (readers.length === 1) return (records, givenUp) => readers[0]!.consumer.settledAll(records, givenUp);
  return async (records, givenUp) => {
    const byReader = await Promise.all(readers.map(({ consumer }) => consumer.settledAll(records, givenUp)));
    return records.map((_, at) =>
      byReader.some((hows) => hows[at] === 'dead') ? 'dead' : byReader.every((hows) => hows[at] === 'ok') ? 'ok' : undefined,
    );
  };
}
