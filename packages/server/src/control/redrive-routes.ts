/** Redrive routes: dead letters sent again, as jobs that can be looked at and cancelled. */

import type { FastifyInstance } from 'fastify';
import { type DeadLetterFilter, type Log, type RedriveJob, redriveLetters } from 'sluice/log';
import { HttpError } from '../gateway/http-error.js';
import { isSet } from '../gateway/parameters.js';
import { letterFilter, numberOf } from './letter-filter.js';

/** Jobs that are remembered; the oldest that has ended is forgotten. */
const maxJobs = 100;

interface Job {
  readonly id: string;
  readonly startedAt: number;
  readonly filter: DeadLetterFilter;
  readonly target: string | undefined;
  readonly dryRun: boolean;
  readonly job: RedriveJob;
  failure: string | undefined;
}

type Query = Readonly<Record<string, string>>;

/** Adds the routes. */
export function addRedriveRoutes(app: FastifyInstance, { log }: { readonly log: Log }): { cancel(): void } {
  const jobs = new Map<string, Job>();
  let number = 0;
  const find = (id: string): Job => {
    const found = jobs.get(id);
    if (found === undefined) throw new HttpError(404, 'REDRIVE_NOT_FOUND', 'there is no redrive of this id');
    return found;
  };

  app.post<{ Querystring: Query }>('/v1/redrives', async ({ query }, reply) => {
    const others = ['dry', 'limit', 'perSecond', 'target'];
    const filter = letterFilter(query, others);
    const { limit, perSecond, target } = query;
    const dryRun = isSet('dry', query.dry);
    if (target !== undefined && !(await log.streams()).some(({ stream }) => stream === target))
      throw new HttpError(
        400,
        'STREAM_NOT_FOUND',
        'there is no stream of the name of target; letters that are sent there would be read by nobody',
      );
    if (jobs.size >= maxJobs) forgetOne(jobs);
    const job = redriveLetters(log, {
      filter,
      dryRun,
      ...(limit === undefined ? {} : { limit: numberOf('limit', limit) }),
      ...(perSecond === undefined ? {} : { perSecond: numberOf('perSecond', perSecond) }),
      ...(target === undefined ? {} : { target }),
    });
    const what = { filter, target, dryRun };
    const one: Job = { id: String(++number), startedAt: Date.now(), ...what, job, failure: undefined };
    jobs.set(one.id, one);
    job.done.catch((error: Error) => {
      one.failure = error.message;
    });
    if (dryRun) await job.done;
    return reply.code(dryRun ? 200 : 202).send(jobJson(one));
  });
  app.get('/v1/redrives', async () => ({ redrives: [...jobs.values()].map(jobJson) }));
  app.get<{ Params: { id: string } }>('/v1/redrives/:id', async ({ params }) => jobJson(find(params.id)));
  app.delete<{ Params: { id: string } }>('/v1/redrives/:id', async ({ params }) => {
    const found = find(params.id);
    found.job.cancel();
    await found.job.done.catch(() => {});
    return jobJson(found);
  });
  return {
    cancel() {
      for (const { job } of jobs.values()) job.cancel();
    },
  };
}

function forgetOne(jobs: Map<string, Job>): void {
  for (const [id, { job }] of jobs) if (job.progress().state !== 'running') return void jobs.delete(id);
  throw new HttpError(503, 'OVERLOADED', `${maxJobs} redrives run already`, { 'retry-after': '5' });
}

function jobJson({ job, ...about }: Job): object {
  return { ...about, ...job.progress() };
}
