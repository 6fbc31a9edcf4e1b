/** Pipeline routes: how pipelines are doing; pause, resume, replay, and give up what cannot be read. */

import type { FastifyInstance } from 'fastify';
import type { Log, StartAt } from 'sluice/log';
import { HttpError } from '../gateway/http-error.js';
import { checkParameters, isSet } from '../gateway/parameters.js';
import type { Pipeline } from '../pipelines/pipeline.js';
import { seekPipeline } from './seek.js';

interface Named {
  readonly Params: { readonly name: string };
}

/** Adds the routes. */
export function addPipelineRoutes(
  app: FastifyInstance,
  { pipelines, log }: { readonly pipelines: () => readonly Pipeline[]; readonly log: Log },
): void {
  const find = (name: string): Pipeline => {
    const all = pipelines();
    const found = all.find((pipeline) => pipeline.name === name);
    if (found !== undefined) return found;
    const known = all.map((pipeline) => pipeline.name).join(', ');
    throw new HttpError(
      404,
      'PIPELINE_NOT_FOUND',
      `there is no pipeline of this name; there is ${known === '' ? 'none' : known}`,
    );
  };

  const actOn = (name: string): Pipeline => {
    const pipeline = find(name);
    if (pipeline.state === 'stopped')
      throw new HttpError(
        409,
        'PIPELINE_STOPPED',
        'this pipeline has stopped; mend what its problem says, and reload or restart the service',
      );
    if (pipeline.state !== 'changing') return pipeline;
    throw new HttpError(409, 'PIPELINE_CHANGING', 'a reload is changing this pipeline; try again when it has', {
      'retry-after': '1',
    });
  };

  app.get('/v1/pipelines', async () => ({ pipelines: await Promise.all(pipelines().map(pipelineJson)) }));
  app.get<Named>('/v1/pipelines/:name', async ({ params }) => pipelineJson(find(params.name)));
  app.post<Named>('/v1/pipelines/:name/pause', async ({ params }) => {
    const pipeline = actOn(params.name);
    await pipeline.consumer.pause();
    // Whoever goes on under another claim can do it no more. A database that does not answer is no reason not to pause.
    await pipeline.closeUp().catch(() => {});
    return pipelineJson(pipeline);
  });
  // Strict order has halted in front of a record: it is tried again, or parked with parkHalted.
  app.post<Named & { Querystring: { parkHalted?: string } }>('/v1/pipelines/:name/resume', async ({ params, query }) => {
    checkParameters(query, ['parkHalted']);
    const pipeline = actOn(params.name);
    await pipeline.consumer.resume({ parkHalted: isSet('parkHalted', query.parkHalted) });
    return pipelineJson(pipeline);
  });
  app.post<Named & { Querystring: { to?: string; partition?: string } }>(
    '/v1/pipelines/:name/seek',
    async ({ params, query }) => {
      checkParameters(query, ['to', 'partition']);
      const pipeline = actOn(params.name);
      const sought = await seekPipeline(pipeline, log, startAt(query.to), partitionOf(query.partition));
      return { ...(await pipelineJson(pipeline)), sought };
    },
  );
  app.post<Named>('/v1/pipelines/:name/skip-damage', async ({ params }) => ({
    skipped: await actOn(params.name).consumer.skipDamage(),
  }));
}

/** `start`, `end`, an offset, or a time in RFC 3339. */
function startAt(to: string | undefined): StartAt {
  if (to === 'start' || to === 'end') return to;
  if (to !== undefined && /^\d{1,15}$/.test(to)) return { offset: Number(to) };
  const time = to !== undefined && /^\d{4}-\d{2}-\d{2}T/.test(to) ? Date.parse(to) : Number.NaN;
  if (!Number.isNaN(time)) return { time };
  throw new HttpError(400, 'INVALID_POSITION', 'expected to=start, to=end, an offset, or a time such as 2026-01-31T12:00:00Z');
}

function partitionOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new HttpError(400, 'INVALID_PARTITION', 'expected partition to be a number');
}

async function pipelineJson({ name, stream, group, consumer, state, problem }: Pipeline): Promise<object> {
  const { problem: failure, ...status } = consumer.status();
  return { name, stream, group, ...status, state, failure, problem: problem(), lag: await consumer.lag() };
}
