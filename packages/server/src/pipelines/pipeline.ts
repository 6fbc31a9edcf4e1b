/** Pipeline: the events of one stream, on their way through a transform into a sink. */

import type { Env, SluiceEvent } from 'sluice';
import { type Consumer, type ConsumerStatus, createConsumer, type Log } from 'sluice/log';
import type { Config, PipelineConfig } from '../config/config.js';
import { openSink } from './open-sink.js';
import type { PipelineCode } from './pipeline-code.js';
import type { PipelineSink } from './pipeline-sink.js';
import { plainMessage } from './plain-message.js';
import { type Preparation, prepareSink } from './preparation.js';
import { transformingSink } from './transform.js';

/** What pipelines are made with. */
export interface PipelineParts {
  readonly log: Log;
  readonly databaseUrl: string | undefined;
  readonly streams: Config['streams'];
  /** Paths of the configuration are relative to this folder. */
  readonly folder: string;
  readonly env: Env;
  /** Told of what happens in each pipeline. */
  readonly observe: (pipeline: string, event: SluiceEvent) => void;
}

/** What a pipeline does; `changing`: a reload puts another in its place, once its sink has answered the calls under way. */
export type PipelineState = ConsumerStatus['state'] | 'changing';

/** A pipeline that runs. */
export interface Pipeline {
  readonly name: string;
  readonly stream: string;
  readonly group: string;
  readonly config: PipelineConfig;
  /** What it runs of the user's: with it the same pipeline can be started again, whatever has become of the modules since. */
  readonly code: PipelineCode;
  readonly consumer: Consumer;
  readonly state: PipelineState;
  /** A reload takes it out of service, or has done so. */
  readonly isLeaving: boolean;
  /** Takes it out of service: what its sink has not taken stays in the log. Resolves with what it did since its start. */
  leave(): Promise<{ readonly ok: number; readonly dead: number }>;
  /** Says that it has been closed, and could not be started again. */
  strand(error: Error): void;
  /** Why it does not deliver at this moment; `undefined` while it does. */
  problem(): string | undefined;
  /** Has its sinks note for good what was parked; while the consumer is paused. Rejects when one of them cannot. */
  closeUp(): Promise<void>;
  /** Closes its sinks, once its consumer has ended. */
  close(): Promise<void>;
}

/**
 * Starts a pipeline. Its sinks are prepared meanwhile, again and again until that succeeds.
 *
 * @throws SluiceError `INVALID_OPTION`, or what the log says.
 */
export async function startPipeline(
  name: string,
  config: PipelineConfig,
  code: PipelineCode,
  parts: PipelineParts,
): Promise<Pipeline> {
  const { log } = parts;
  const { clock, random } = parts.env;
  const env: Env = {
    clock,
    random,
    neutral: (fn) => parts.env.neutral(fn),
    observe: (event) => parts.observe(name, event),
  };
  const { stream = name, group = name } = config;
  const sinks = await openSinks(name, config, code, parts);
  const [main, ...others] = sinks.values();
  const branches = new Map([...sinks.keys()].slice(1).map((branch, i) => [branch, others[i]!]));
  const preparations = [...sinks.values()].map((sink) => prepareSink(sink, env));
  const close = async () => {
    for (const preparation of preparations) preparation.stop();
    await Promise.all([...sinks.values()].map((sink) => sink.close()));
  };
  await Promise.all(preparations.map(({ firstTry }) => firstTry));
  const consumer = await createConsumer({
    ...{ log, stream, group, env },
    sink: transformingSink(main!, branches, code.transform),
    window: config.window,
    maxItems: config.maxItems,
    maxBytes: config.maxBytes,
    maxInFlight: config.maxInFlight,
    maxAhead: config.maxAhead,
    maxAheadBytes: config.maxAheadBytes,
    shards: config.shards,
    timeoutMs: config.timeoutMs,
    from: config.from,
    retry: {
      ...config.retry,
      maxAttempts: config.retry.maxAttempts === 'forever' ? Number.POSITIVE_INFINITY : config.retry.maxAttempts,
    },
    ...(config.breaker === false ? {} : { breaker: config.breaker }),
    ...(config.rate === undefined ? {} : { rate: config.rate }),
    ...(config.strict === false ? {} : { strict: config.strict }),
  }).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  let isLeaving = false;
  let stranded: string | undefined;
  return {
    ...{ name, stream, group, config, code, consumer, close },
    closeUp: async () => void (await Promise.all([...sinks.values()].map((sink) => sink.closeUp?.()))),
    get isLeaving() {
      return isLeaving;
    },
    get state() {
      return isLeaving && stranded === undefined ? 'changing' : consumer.status().state;
    },
    async leave() {
      isLeaving = true;
      await consumer.pause();
      return consumer.drain({ deadlineMs: 0 });
    },
    strand(error) {
      const { code = 'INTERNAL', message } = error as Error & { readonly code?: string };
      stranded = `it could not be started again (${plainMessage({ code, message })})`;
    },
    problem: () => stranded ?? (isLeaving ? undefined : problemOf(consumer, preparations)),
  };
}

/** The main sink first, then those of the branches by their names. */
async function openSinks(
  name: string,
  { group = name, sink, branches, maxInFlight, strict }: PipelineConfig,
  { handlers }: PipelineCode,
  parts: PipelineParts,
) {
  const opened = new Map<string, PipelineSink>();
  const own = { group, maxInFlight, halts: strict === 'halt' };
  try {
    const path = `pipelines.${name}`;
    opened.set('', await openSink(sink, { ...parts, ...own, name, path: `${path}.sink`, handler: handlers.get('') }));
    for (const [branch, config] of Object.entries(branches)) {
      const its = { name: `${name}-${branch}`, path: `${path}.branches.${branch}`, handler: handlers.get(branch) };
      opened.set(branch, await openSink(config, { ...parts, ...own, ...its }));
    }
    return opened;
  } catch (error) {
    await Promise.all([...opened.values()].map((one) => one.close()));
    throw error;
  }
}

function problemOf(consumer: Consumer, preparations: readonly Preparation[]): string | undefined {
  const { problem, state, broken } = consumer.status();
  if (broken !== undefined) return `it has stopped (${plainMessage(broken)})`;
  // Somebody has paused it, and knows: that says nothing against the service.
  if (!['running', 'idle', 'paused'].includes(state)) return `it is ${state}`;
  if (problem !== undefined) return `its sink does not take events (${problem.code}: ${plainMessage(problem)})`;
  const unprepared = preparations.find((preparation) => preparation.problem !== undefined)?.problem;
  return unprepared === undefined ? undefined : `its sink cannot be used yet (${unprepared})`;
}
