/** Tests of the innermost dispatcher: any answer of a sink becomes one outcome per item. */

import { describe, expect, it } from 'vitest';
import { batchOf, contextOf } from '../testing/made-batch.js';
import { testEnv } from '../testing/test-env.js';
import type { Layer, Sink } from './dispatcher.js';
import { failure } from './errors.js';
import { wholeFailure } from './outcome.js';
import { sinkDispatcher, stack } from './stack.js';

const context = contextOf();

/** What becomes of three items when the sink gives this. */
function given(answer: () => unknown, env = testEnv()) {
  return sinkDispatcher({ write: answer } as Sink<string, unknown>, env).dispatch(batchOf('a', 'b', 'c'), context);
}

describe('the sink dispatcher', () => {
  it.each([
    ['a promise of nothing', async () => undefined],
    ['nothing, not even a promise', () => undefined],
  ])('takes %s for: all done', async (_, answer) => {
    expect((await given(answer)).map((outcome) => outcome.kind)).toEqual(['ok', 'ok', 'ok']);
  });

  it('takes one entry per item: values, and errors that fail their item alone', async () => {
    const bad = failure('no', { class: 'blocked' });
    const outcomes = await given(async () => [1, bad, new Error('plain')]);
    expect(outcomes).toMatchObject([
      { kind: 'ok', value: 1 },
      { kind: 'failed', failure: bad },
      { kind: 'failed', failure: { class: 'permanent', message: 'plain' } },
    ]);
    expect(wholeFailure(outcomes)).toBeUndefined();
  });

  it('fails the whole batch as unknown on a wrong length', async () => {
    const outcomes = await given(async () => [1, 2]);
    expect(wholeFailure(outcomes)).toMatchObject({ code: 'RESULT_LENGTH_MISMATCH', class: 'unknown' });
    expect(outcomes).toHaveLength(3);
    expect(wholeFailure(await given(async () => []))).toMatchObject({ code: 'RESULT_LENGTH_MISMATCH' });
  });

  it.each([5, 'abc', null, { 0: 1, length: 3 }, new Uint8Array(3), true])('fails the batch as unknown on %o', async (answer) => {
    expect(wholeFailure(await given(async () => answer))).toMatchObject({ code: 'BAD_RESULT', class: 'unknown' });
  });

  it('takes a hole in an array for a value', async () => {
    expect(await given(async () => new Array(3))).toEqual(new Array(3).fill({ kind: 'ok', value: undefined }));
  });

  it.each([
    ['a rejection', () => Promise.reject(new Error('down'))],
    [
      'a synchronous throw',
      () => {
        throw new TypeError('down');
      },
    ],
    ['a thrown string', () => Promise.reject('down')],
    ['a thrown undefined', () => Promise.reject()],
  ])('takes %s for a transient failure of the whole batch', async (_, answer) => {
    expect(wholeFailure(await given(answer))).toMatchObject({ class: 'transient' });
  });

  it('believes the class of a thrown error', async () => {
    const thrown = Object.assign(new Error('x'), { class: 'blocked' });
    expect(wholeFailure(await given(() => Promise.reject(thrown)))).toMatchObject({ class: 'blocked', cause: thrown });
  });

  it('gives the sink an array of its own each time, and the entries, id and lane of the batch', async () => {
    const seen: { items: readonly string[]; batchId: string; lane: string; entries: number }[] = [];
    const sink: Sink<string> = {
      async write(items, { batchId, lane, entries }) {
        seen.push({ items: [...items], batchId, lane, entries: entries.length });
        (items as string[]).length = 0;
      },
    };
    const dispatcher = sinkDispatcher(sink, testEnv());
    const batch = batchOf('a', 'b');
    await dispatcher.dispatch(batch, context);
    await dispatcher.dispatch(batch, context);
    expect(seen).toEqual(new Array(2).fill({ items: ['a', 'b'], batchId: 'b', lane: '', entries: 2 }));
  });

  it('reports each call with its duration', async () => {
    const env = testEnv();
    const dispatched = given(() => new Promise((resolve) => env.clock.after(30, () => resolve(undefined))), env);
    await env.clock.advance(30);
    await dispatched;
    const called = { type: 'called', batchId: 'b', lane: '', attempt: 1, items: 3, durationMs: 30, ok: true };
    expect(env.eventsOf('called')).toEqual([called]);
  });
});

describe('stack', () => {
  it('puts the first layer outermost', async () => {
    const order: string[] = [];
    const named =
      (name: string): Layer<string, unknown> =>
      (inner) => ({
        ready: (lane) => inner.ready(lane),
        dispatch: (batch, ctx) => {
          order.push(name);
          return inner.dispatch(batch, ctx);
        },
      });
    const env = testEnv();
    const sink = sinkDispatcher<string, unknown>({ write: async () => void order.push('sink') }, env);
    await stack([named('outer'), named('inner')], sink, env).dispatch(batchOf('a'), context);
    expect(order).toEqual(['outer', 'inner', 'sink']);
  });
});
