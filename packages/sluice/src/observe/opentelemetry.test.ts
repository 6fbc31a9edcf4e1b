/** Tests of openTelemetry against the API's own SDK: one span a batch, linked to its callers', calls beneath it. */

import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createBatcher } from '../batcher/batcher.js';
import type { Sink } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { bisect } from '../layers/bisect.js';
import { retry } from '../layers/retry.js';
import { createLoader } from '../loader/loader.js';
import { type TestEnv, testEnv } from '../testing/test-env.js';
import { openTelemetry, type Tracing } from './opentelemetry.js';

const exporter = new InMemorySpanExporter();
const tracer = () => otel.trace.getTracer('test');

beforeAll(() => {
  otel.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  otel.trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
});
beforeEach(() => exporter.reset());
afterAll(() => otel.trace.disable());

/** A test env that is traced. */
function traced(tracing: Tracing): TestEnv {
  return { ...testEnv({ observe: tracing.env.observe }), origin: tracing.env.origin };
}

/** Runs `fn` within a span of its own; its span id. */
function within(name: string, fn: () => void): string {
  return tracer().startActiveSpan(name, (span) => {
    fn();
    span.end();
    return span.spanContext().spanId;
  });
}

const spans = (name: string) => exporter.getFinishedSpans().filter((span) => span.name === name);
const parentOf = (span: { parentSpanContext?: { spanId: string } }) => span.parentSpanContext?.spanId;

describe('openTelemetry', () => {
  it('R-111: makes one root span a batch, linked to the span of each caller, with the waits as attributes', async () => {
    const tracing = openTelemetry(otel, { destination: 'audit' });
    const env = traced(tracing);
    const sink: Sink<string> = { write: async () => {} };
    const batcher = createBatcher({ env, sink: tracing.sink(sink), window: { maxDelayMs: 50 }, layers: [tracing.layer()] });
    const callers = ['a', 'b'].map((value) => within(`caller ${value}`, () => batcher.offer(value)));
    batcher.offer('without a span');
    await env.clock.advance(50);
    const [span, ...others] = spans('send audit');
    expect(others).toEqual([]);
    expect(span!.links.map((link) => link.context.spanId)).toEqual(callers);
    expect(parentOf(span!)).toBeUndefined();
    expect(span!.kind).toBe(otel.SpanKind.CLIENT);
    expect(span!.status.code).toBe(otel.SpanStatusCode.UNSET);
    expect(span!.attributes).toMatchObject({
      'messaging.batch.message_count': 3,
      'messaging.destination.name': 'audit',
      'messaging.operation.name': 'send',
      'sluice.batch.reason': 'time',
      'sluice.queue_wait_ms': 50,
      'sluice.slot_wait_ms': 0,
      'sluice.items.ok': 3,
    });
  });

  it('R-111: shows attempts as spans beneath it, and the back-off between them as an event', async () => {
    const tracing = openTelemetry(otel, { destination: 'audit' });
    const env = traced(tracing);
    let calls = 0;
    const sink: Sink<string> = {
      async write() {
        tracer().startSpan('INSERT').end();
        if (++calls === 1) throw failure('down', { class: 'transient', code: 'DOWN' });
      },
    };
    const layers = [tracing.layer<string, void>(), retry<string, void>({ baseMs: 100 })];
    const batcher = createBatcher({ env, sink: tracing.sink(sink), window: { maxDelayMs: 0 }, layers });
    within('caller', () => batcher.offer('a'));
    await env.clock.advance(1000);
    const [batch] = spans('send audit');
    const attempts = spans('call audit');
    expect(attempts.map((span) => [span.attributes['sluice.attempt'], span.status.message])).toEqual([
      [1, 'DOWN'],
      [2, undefined],
    ]);
    for (const span of attempts) expect(parentOf(span)).toBe(batch!.spanContext().spanId);
    expect(spans('INSERT').map(parentOf)).toEqual(attempts.map((span) => span.spanContext().spanId));
    expect(batch!.events).toMatchObject([{ name: 'retry', attributes: { 'error.type': 'DOWN', 'sluice.attempt': 2 } }]);
    expect(batch!.events[0]!.attributes!['sluice.back_off_ms']).toBeGreaterThanOrEqual(100);
  });

  it('keeps the calls of a bisected batch beneath its span, and is an error only when no item is done', async () => {
    const tracing = openTelemetry(otel, { destination: 'audit' });
    const env = traced(tracing);
    const sink: Sink<string> = {
      async write(items) {
        if (items.includes('bad')) throw failure('no', { code: '22P02' });
      },
    };
    const layers = [tracing.layer<string, void>(), bisect<string, void>()];
    const batcher = createBatcher({ env, sink: tracing.sink(sink), window: { maxDelayMs: 5 }, layers });
    for (const value of ['good', 'bad']) batcher.offer(value);
    await env.clock.advance(10);
    batcher.offer('bad');
    await env.clock.advance(10);
    const [mixed, bad] = spans('send audit');
    expect(mixed).toMatchObject({
      status: { code: 0 },
      attributes: { 'error.type': '22P02', 'sluice.items.ok': 1, 'sluice.items.failed': 1 },
    });
    expect(mixed!.events.map((event) => event.name)).toEqual(['bisect']);
    expect(spans('call audit').filter((span) => parentOf(span) === mixed!.spanContext().spanId)).toHaveLength(3);
    expect(bad).toMatchObject({ status: { code: otel.SpanStatusCode.ERROR, message: '22P02' } });
  });

  it('links a load to every caller of its keys, and never runs it in the span of one of them', async () => {
    const tracing = openTelemetry(otel, { destination: 'users', operation: 'load' });
    const env = traced(tracing);
    let active: string | undefined;
    const users = createLoader(
      (ids: readonly number[], { batchId, attempt }) =>
        tracing.call(batchId, attempt, async () => {
          active = otel.trace.getActiveSpan()?.spanContext().spanId;
          return ids.map(String);
        }),
      { env, layers: [tracing.layer()] },
    );
    const callers = [7, 7, 8].map((id) => within('caller', () => void users.load(id)));
    await env.clock.settle();
    const [span] = spans('load users');
    expect(span!.links.map((link) => link.context.spanId)).toEqual(callers);
    expect(spans('call users').map((call) => call.spanContext().spanId)).toEqual([active]);
  });

  it('items carry nothing where nobody traces', async () => {
    const env = testEnv();
    let entries: readonly object[] = [];
    const sink: Sink<string> = {
      async write(_, context) {
        entries = context.entries;
      },
    };
    const batcher = createBatcher({ env, sink, window: { maxDelayMs: 0 } });
    within('caller', () => batcher.offer('a'));
    await env.clock.advance(0);
    expect(entries.map((entry) => 'origins' in entry)).toEqual([false]);
  });
});
