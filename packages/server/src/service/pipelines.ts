/** Pipelines: all that a service runs, started together and drained together. */

import { setMaxListeners } from 'node:events';
import type { Config } from '../config/config.js';
import type { Settled } from '../gateway/receive.js';
import { type Pipeline, type PipelineParts, startPipeline } from '../pipelines/pipeline.js';

/** The pipelines of a service. */
export interface Pipelines {
  readonly all: readonly Pipeline[];
  /** Waits until every pipeline that reads a stream has settled a record: `dead` when one of them parked it. `undefined` when none reads it. */
  settled(stream: string): Settled | undefined;
  /** What keeps pipelines from delivering, each with its name. */
  problems(): string[];
  /** Delivers what is in the log until the deadline. */
  drain(deadlineMs: number): Promise<{ readonly delivered: number; readonly dead: number; readonly leftInLog: number }>;
  close(): Promise<void>;
}

/**
 * Starts the pipelines of a configuration; those that started are closed again when one of them cannot.
 *
 * @throws SluiceError what the first of them cannot start for.
 */
export async function startPipelines(configs: Config['pipelines'], parts: PipelineParts): Promise<Pipelines> {
  const started = await Promise.allSettled(Object.entries(configs).map(([name, config]) => startPipeline(name, config, parts)));
  const all = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const close = async () => void (await Promise.all(all.map((pipeline) => pipeline.close())));
  const failed = started.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await Promise.all(all.map(({ consumer }) => consumer.drain({ deadlineMs: 0 })));
    await close();
    throw failed.reason;
  }
  return {
    all,
    settled: (stream) => settledByAll(all.filter((pipeline) => pipeline.stream === stream)),
    problems: () =>
      all.flatMap((pipeline) => {
        const problem = pipeline.problem();
        return problem === undefined ? [] : [`the pipeline ${pipeline.name} does not deliver: ${problem}`];
      }),
    async drain(deadlineMs) {
      const reports = await Promise.all(all.map(({ consumer }) => consumer.drain({ deadlineMs })));
      const sum = (name: 'ok' | 'dead' | 'leftInLog') => reports.reduce((total, report) => total + report[name], 0);
      return { delivered: sum('ok'), dead: sum('dead'), leftInLog: sum('leftInLog') };
    },
    close,
  };
}

function settledByAll(readers: readonly Pipeline[]): Settled | undefined {
  if (readers.length === 0) return undefined;
  if (readers.length === 1) return (partition, offset, signal) => readers[0]!.consumer.settled(partition, offset, signal);
  return async (partition, offset, signal) => {
    setMaxListeners(0, signal);
    const hows = await Promise.all(readers.map(({ consumer }) => consumer.settled(partition, offset, signal)));
    return hows.includes('dead') ? 'dead' : 'ok';
  };
}
