/** Transform: filter, map and branch, between the log and the sinks. */

import { failure, type Sink, type SinkContext, type SluiceError } from 'sluice';
import type { LogRecord } from 'sluice/log';
import type { PipelineEvent } from '../config/pipeline-schema.js';
import { Outgoing } from './outgoing.js';
import type { PipelineSink } from './pipeline-sink.js';
import type { Upcast } from './upcast.js';

/** What is done to events before a sink sees them. Each is called once an attempt, and may throw: that fails the event alone. */
export interface Transform {
  /** Brings items of old versions to the latest, before everything else. */
  readonly upcast?: Upcast | undefined;
  readonly filter?: ((event: PipelineEvent) => boolean) | undefined;
  readonly map?: ((event: PipelineEvent) => unknown) | undefined;
  readonly branch?: ((event: PipelineEvent) => string | undefined) | undefined;
}

/**
 * The sink that a pipeline's consumer writes to: it transforms, sends each event to its branch, and puts the outcomes together.
 *
 * @param branches the sinks that `branch` names; `main` gets the others.
 */
export function transformingSink(
  main: PipelineSink,
  branches: ReadonlyMap<string, PipelineSink>,
  transform: Transform,
): Sink<LogRecord, unknown> {
  const all = [main, ...branches.values()];
  const plain = Object.values(transform).every((step) => step === undefined);
  return {
    idempotent: all.every((sink) => sink.idempotent === true),
    // The parts of a batch that go to different sinks succeed and fail by themselves.
    atomic: branches.size === 0 && main.atomic === true,
    async write(records, context) {
      if (plain)
        return main.write(
          records.map((record) => new Outgoing(record)),
          context,
        );
      const results: (Error | undefined)[] = records.map(() => undefined);
      const routes = new Map<PipelineSink, { readonly name: string; readonly events: Outgoing[]; readonly indexes: number[] }>();
      for (const [index, record] of records.entries()) {
        try {
          const event = transformed(new Outgoing(record), transform);
          if (event === undefined) continue;
          const name = transform.branch?.(event);
          const sink = name === undefined ? main : branches.get(name);
          if (sink === undefined) throw new Error(`branch answers ${JSON.stringify(name)}, which is not among branches`);
          const route = routes.get(sink) ?? { name: name ?? 'main', events: [], indexes: [] };
          routes.set(sink, route);
          route.events.push(event);
          route.indexes.push(index);
        } catch (thrown) {
          results[index] = failure(`the transform failed: ${thrown instanceof Error ? thrown.message : String(thrown)}`, {
            code: 'TRANSFORM_FAILED',
            cause: thrown,
          });
        }
      }
      // One whole batch for one sink keeps what it throws: its class stops or bisects the batch.
      const [only] = routes;
      if (routes.size === 1 && only![1].events.length === records.length) return only![0].write(only![1].events, context);
      await Promise.all([...routes].map(([sink, route]) => writeRoute(sink, route, context, results)));
      return results;
    },
  };
}

function transformed(event: Outgoing, { upcast, filter, map }: Transform): Outgoing | undefined {
  if (upcast !== undefined) {
    const latest = upcast(event.data as Record<string, unknown>);
    if (latest !== event.data) event.data = latest;
  }
  if (filter !== undefined && !filter(event)) return undefined;
  if (map === undefined) return event;
  const data = map(event);
  if (data === undefined) return undefined;
  if (typeof (data as PromiseLike<unknown>)?.then === 'function')
    throw new Error('map answers a promise; look things up in a handler of a module sink');
  event.data = data;
  return event;
}

async function writeRoute(
  sink: PipelineSink,
  { name, events, indexes }: { readonly name: string; readonly events: readonly Outgoing[]; readonly indexes: readonly number[] },
  context: SinkContext,
  results: (Error | undefined)[],
): Promise<void> {
  const entries = indexes.map((index) => context.entries[index]!);
  const part = { ...context, signal: context.signal, batchId: `${context.batchId}/${name}`, entries };
  try {
    const answers = await sink.write(events, part);
    if (!Array.isArray(answers)) return;
    if (answers.length !== events.length)
      throw failure(`expected ${events.length} results, got ${answers.length}`, {
        code: 'RESULT_LENGTH_MISMATCH',
        class: 'unknown',
      });
    for (const [at, answer] of answers.entries()) if (answer instanceof Error) results[indexes[at]!] = answer;
  } catch (thrown) {
    for (const index of indexes) results[index] = asError(thrown);
  }
}

/** A plain throw of a sink is transient; a failure's own class is believed. */
function asError(thrown: unknown): Error {
  if (thrown instanceof Error && 'class' in thrown) return thrown;
  return failure(thrown instanceof Error ? thrown : new Error(String(thrown)), { class: 'transient' } satisfies {
    class: SluiceError['class'];
  });
}
