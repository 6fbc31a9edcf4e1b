/** openTelemetry: one span a batch, linked to the spans of the callers whose items it carries. */

import type { Batch } from '../core/batch.js';
import type { Layer, Sink } from '../core/dispatcher.js';
import type { Observer, SluiceEvent } from '../core/event.js';
import type { Outcome } from '../core/outcome.js';
import type { Env } from '../env/env.js';
import { slotWaits } from '../layers/slot-waits.js';
import type { TracingApi, TracingSpan } from './tracing-api.js';

/** Options of {@link openTelemetry}. */
export interface OpenTelemetryOptions {
  /** What the batches go to: the destination in the span's name and attributes, such as a table, a topic, a backend. */
  readonly destination: string;
  /** What is done there: the first word of the span's name. Default `'send'`; for a loader, say `'load'`. */
  readonly operation?: string;
}

/** The parts of a tracing, to be put where each belongs. */
export interface Tracing {
  /** For the env of the loader or batcher: `systemEnv(tracing.env)`. It takes each caller's active span, and notes retries in the batch's span. */
  readonly env: { readonly observe: Observer; origin(): unknown };
  /** The span of each batch; the outermost layer. */
  layer<I, R>(): Layer<I, R>;
  /** A sink whose calls are spans of their own beneath that of the batch; what the sink itself traces lies beneath those. */
  sink<T, R>(sink: Sink<T, R>): Sink<T, R>;
  /** Runs a function as a call of this batch: as `sink` does, for the batch function of a loader. */
  call<T>(batchId: string, attempt: number, fn: () => T | Promise<T>): Promise<T>;
}

/**
 * Traces batches with OpenTelemetry, whose API is handed in: it is an optional peer.
 *
 * A batch has many callers, so its span is a root with a link to each caller's span (128 at most an item, as many as the SDK keeps in
 * all). Names and attributes follow the semantic conventions for messaging (`messaging.batch.message_count`,
 * `messaging.destination.name`, `messaging.operation.name`, `error.type`); ours begin with `sluice.`. Payloads are never recorded.
 *
 * @example
 * import * as otel from '@opentelemetry/api';
 * const tracing = openTelemetry(otel, { destination: 'audit' });
 * const audit = createBatcher({ env: systemEnv(tracing.env), layers: [tracing.layer(), retry()], sink: tracing.sink(sink) });
 */
export function openTelemetry<C, SC, S extends TracingSpan<SC>>(
  api: TracingApi<C, SC, S>,
  options: OpenTelemetryOptions,
): Tracing {
  const { destination, operation = 'send' } = options;
  const tracer = api.trace.getTracer('sluice');
  // By the id of the batch as it was cut: its parts (`<id>.<n>`) are told of under theirs.
  const open = new Map<string, { readonly span: TracingSpan<SC>; readonly context: C }>();
  const spanOf = (batchId: string) => open.get(batchId.split('.')[0]!);

  const begin = (batch: Batch<unknown>, env: Env, slotWaitMs: number) => {
    const { items } = batch;
    const links = items.flatMap((item) => (item.origins ?? []) as SC[]).map((context) => ({ context }));
    const firstAt = items.reduce((first, item) => Math.min(first, item.acceptedAt), Number.POSITIVE_INFINITY);
    const attributes = {
      ...place(destination, operation),
      'messaging.batch.message_count': items.length,
      'sluice.batch.id': batch.id,
      'sluice.batch.bytes': batch.bytes,
      'sluice.batch.reason': batch.reason,
      'sluice.lane': batch.lane,
      'sluice.queue_wait_ms': env.clock.now() - firstAt,
      'sluice.slot_wait_ms': slotWaitMs,
    };
    const context = api.context.active();
    const span = tracer.startSpan(`${operation} ${destination}`, { kind: clientKind, root: true, links, attributes }, context);
    open.set(batch.id, { span, context: api.trace.setSpan(context, span as S) });
    return span;
  };

  const call = async <T>(batchId: string, attempt: number, fn: () => T | Promise<T>): Promise<T> => {
    const parent = spanOf(batchId);
    if (parent === undefined) return fn();
    const attributes = { ...place(destination, operation), 'sluice.batch.id': batchId, 'sluice.attempt': attempt };
    const span = tracer.startSpan(`call ${destination}`, { kind: clientKind, attributes }, parent.context);
    try {
      return await api.context.with(api.trace.setSpan(parent.context, span as S), fn);
    } catch (thrown) {
      const code = codeOf(thrown);
      span.setAttribute('error.type', code);
      span.setStatus({ code: errorStatus, message: code });
      throw thrown;
    } finally {
      span.end();
    }
  };

  return {
    env: {
      observe: (event) => note(event, spanOf),
      origin: () => api.trace.getSpanContext(api.context.active()),
    },
    layer: () => (inner, env) => {
      const waits = slotWaits(env.clock);
      return {
        ready: (lane) => waits.asked(lane, inner.ready(lane)),
        dispatch(batch, context) {
          const span = begin(batch, env, waits.begun(batch.lane));
          return inner.dispatch(batch, context).then((outcomes) => {
            open.delete(batch.id);
            end(span, outcomes);
            return outcomes;
          });
        },
      };
    },
    sink: (sink) => ({
      ...(sink.idempotent === undefined ? {} : { idempotent: sink.idempotent }),
      ...(sink.atomic === undefined ? {} : { atomic: sink.atomic }),
      write: (items, context) => call(context.batchId, context.attempt, () => sink.write(items, context)),
      ...(sink.close === undefined ? {} : { close: () => sink.close!() }),
    }),
    call,
  };
}

/** `SpanKind.CLIENT` and `SpanStatusCode.ERROR` of the API: numbers of a stable interface. */
const clientKind = 2;
const errorStatus = 2;

function place(destination: string, operation: string): Record<string, string> {
  return {
    'messaging.system': 'sluice',
    'messaging.destination.name': destination,
    'messaging.operation.name': operation,
    'messaging.operation.type': 'send',
  };
}

/** Notes in the span of its batch what happened on the way. */
function note<SC>(event: SluiceEvent, spanOf: (batchId: string) => { readonly span: TracingSpan<SC> } | undefined): void {
  if (event.type === 'retry') {
    const { items, attempt, delayMs, code, failureClass } = event;
    spanOf(event.batchId)?.span.addEvent('retry', {
      'sluice.items': items,
      'sluice.attempt': attempt,
      'sluice.back_off_ms': delayMs,
      'error.type': code,
      'sluice.failure_class': failureClass,
    });
  } else if (event.type === 'bisect' || event.type === 'refused') {
    spanOf(event.batchId)?.span.addEvent(event.type, { 'sluice.items': event.items, 'error.type': event.code });
  } else if (event.type === 'abandoned' || event.type === 'parked' || event.type === 'duplicates') {
    spanOf(event.batchId)?.span.addEvent(event.type, { 'sluice.items': event.items });
  }
}

/** A span is an error when none of its items is done. */
function end<SC>(span: TracingSpan<SC>, outcomes: readonly Outcome<unknown>[]): void {
  const counts = { ok: 0, failed: 0, dead: 0 };
  let code: string | undefined;
  for (const outcome of outcomes) {
    counts[outcome.kind]++;
    if (outcome.kind !== 'ok') code ??= outcome.failure.code;
  }
  for (const kind of ['ok', 'failed', 'dead'] as const) span.setAttribute(`sluice.items.${kind}`, counts[kind]);
  if (code !== undefined) span.setAttribute('error.type', code);
  if (counts.ok === 0 && code !== undefined) span.setStatus({ code: errorStatus, message: code });
  span.end();
}

function codeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return typeof thrown;
  return 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : thrown.name;
}
