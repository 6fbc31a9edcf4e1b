/** Tests of bisect: all bad items fail and only they; order; what it costs. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DispatchContext, Sink } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { batchOf, contextOf } from '../testing/made-batch.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { type BisectOptions, bisect } from './bisect.js';
import { retry } from './retry.js';

const poison = () => failure('bad row', { class: 'permanent', code: '22P02' });

/** An atomic sink that fails as a whole when a bad item is in the batch, and remembers what it wrote. */
function atomicSink(bad: ReadonlySet<number>) {
  const written: number[] = [];
  const calls: { id: string; items: readonly number[] }[] = [];
  const sink: Sink<number> = {
    atomic: true,
    async write(items, { batchId }) {
      calls.push({ id: batchId, items: [...items] });
      if (items.some((item) => bad.has(item))) throw poison();
      written.push(...items);
    },
  };
  return { sink, written, calls };
}

function bisecting(sink: Sink<number>, options: BisectOptions = {}) {
  const env = testEnv();
  const dispatcher = stack([bisect<number, void>(options)], sinkDispatcher(sink, env), env);
  return {
    env,
    run: (batch = batchOf<number>(), context: Partial<DispatchContext> = {}) => dispatcher.dispatch(batch, contextOf(context)),
  };
}

describe('bisect', () => {
  it('fails all the bad items and only them, and writes the good ones once and in order', async () => {
    const size = fc.integer({ min: 1, max: 200 });
    await fc.assert(
      fc.asyncProperty(size, fc.array(fc.nat(199), { maxLength: 12 }), async (count, marks) => {
        const bad = new Set(marks.filter((mark) => mark < count));
        const { sink, written, calls } = atomicSink(bad);
        const values = Array.from({ length: count }, (_, i) => i);
        const outcomes = await bisecting(sink).run(batchOf(...values));
        expect(outcomes.map((outcome) => outcome.kind)).toEqual(values.map((i) => (bad.has(i) ? 'failed' : 'ok')));
        expect(written).toEqual(values.filter((i) => !bad.has(i)));
        expect(new Set(calls.map((call) => call.id)).size).toBe(calls.length);
        expect(calls.length).toBeLessThanOrEqual(1 + bad.size * 2 * Math.ceil(Math.log2(Math.max(2, count))));
      }),
      { numRuns: 200 },
    );
  });

  it('finds one bad item among 1,024 with 20 extra calls', async () => {
    const { sink, calls } = atomicSink(new Set([700]));
    await bisecting(sink).run(batchOf(...Array.from({ length: 1024 }, (_, i) => i)));
    expect(calls).toHaveLength(21);
  });

  it('stops at its cap: the part at hand then fails as it is', async () => {
    const { sink, calls } = atomicSink(new Set([0]));
    const outcomes = await bisecting(sink, { maxExtraCalls: 4 }).run(batchOf(...Array.from({ length: 16 }, (_, i) => i)));
    expect(calls).toHaveLength(5);
    expect(outcomes.map((outcome) => outcome.kind)).toEqual([...new Array(4).fill('failed'), ...new Array(12).fill('ok')]);
  });

  it('shares its cap over all parts', async () => {
    const { sink, calls } = atomicSink(new Set(Array.from({ length: 64 }, (_, i) => i)));
    const outcomes = await bisecting(sink, { maxExtraCalls: 10 }).run(batchOf(...Array.from({ length: 64 }, (_, i) => i)));
    expect(calls).toHaveLength(11);
    expect(outcomes.every((outcome) => outcome.kind === 'failed')).toBe(true);
  });

  it.each(['transient', 'unknown', 'blocked', 'rejected'] as const)('leaves a %s failure alone', async (cls) => {
    const sink = scriptedSink<number>({
      answer: () => {
        throw failure('x', { class: cls });
      },
    });
    await bisecting(sink).run(batchOf(1, 2, 3, 4));
    expect(sink.calls).toHaveLength(1);
  });

  it('believes a sink that says which items are bad, even if all are', async () => {
    const sink = scriptedSink<number>({ answer: (items) => items.map(poison) });
    await bisecting(sink).run(batchOf(1, 2, 3, 4));
    expect(sink.calls).toHaveLength(1);
  });

  it('does not split one item', async () => {
    const { sink, calls } = atomicSink(new Set([1]));
    expect(await bisecting(sink).run(batchOf(1))).toMatchObject([{ failure: { code: '22P02' } }]);
    expect(calls).toHaveLength(1);
  });

  it('sends nothing more once its signal is aborted', async () => {
    const controller = new AbortController();
    const sink = scriptedSink<number>({
      answer(_, call) {
        if (call === 2) controller.abort();
        throw poison();
      },
    });
    const outcomes = await bisecting(sink).run(batchOf(1, 2, 3, 4), { signal: controller.signal });
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(new Array(4).fill('failed'));
    expect(sink.calls).toHaveLength(2);
  });

  it('leaves out the items that nobody waits for any more', async () => {
    const batch = batchOf(0, 1, 2, 3);
    const { sink, calls } = atomicSink(new Set([0]));
    const outcomes = await bisecting({
      async write(items, context) {
        const result = sink.write(items, context);
        if (calls.length === 2) (batch.items[2] as { gone: boolean }).gone = true;
        return result;
      },
    }).run(batch);
    expect(outcomes).toMatchObject([{ kind: 'failed' }, { kind: 'ok' }, { failure: { code: 'CANCELLED' } }, { kind: 'ok' }]);
    expect(calls.map((call) => call.items)).toEqual([[0, 1, 2, 3], [0, 1], [0], [1], [3]]);
  });

  it('beneath retry gives the same parts the same ids when the whole is sent again', async () => {
    const env = testEnv();
    const ids = new Map<string, Set<string>>();
    let down = 2;
    const sink: Sink<number> = {
      async write(items, { batchId }) {
        const members = items.join();
        ids.set(members, (ids.get(members) ?? new Set()).add(batchId));
        if (items.length === 4) throw poison();
        if (down-- > 0) throw failure('down', { class: 'transient' });
        if (items.includes(3)) throw poison();
      },
    };
    const dispatcher = stack([retry<number, void>(), bisect<number, void>()], sinkDispatcher(sink, env), env);
    const ended = dispatcher.dispatch(batchOf(0, 1, 2, 3), contextOf());
    await env.clock.advance(1e6);
    expect((await ended).map((outcome) => outcome.kind)).toEqual(['ok', 'ok', 'ok', 'failed']);
    for (const [members, names] of ids) expect([members, names.size]).toEqual([members, 1]);
    expect(new Set([...ids.values()].flatMap((names) => [...names])).size).toBe(ids.size);
  });

  it.each([{ maxExtraCalls: 1 }, { maxExtraCalls: Number.NaN }, { max: 3 }])('refuses %o', (options) => {
    expect(() => bisect(options as BisectOptions)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('sends nothing behind an item that may be tried again when the items have an order, so that a retry cannot reorder them', async () => {
    const written: string[] = [];
    let calls = 0;
    const sink: Sink<string> = {
      async write(items) {
        calls++;
        if (items.includes('bad')) throw poison();
        // The connection is lost once, while half of the batch is sent.
        if (calls === 2) throw failure('connection lost', { class: 'transient', code: 'DOWN' });
        written.push(...items);
      },
    };
    const env = testEnv();
    const layers = [retry<string, void>({ baseMs: 10 }), bisect<string, void>({ inOrder: 'goOn' })];
    const dispatched = stack(layers, sinkDispatcher(sink, env), env).dispatch(
      batchOf('a1', 'a2', 'a3', 'bad', 'a4', 'a5'),
      contextOf(),
    );
    await env.clock.advance(1000);
    expect((await dispatched).map((outcome) => outcome.kind)).toEqual(['ok', 'ok', 'ok', 'failed', 'ok', 'ok']);
    expect(written).toEqual(['a1', 'a2', 'a3', 'a4', 'a5']);
  });

  it("sends nothing behind a bad item with inOrder 'halt', however the batch is divided: the rest was never tried", async () => {
    for (let bad = 0; bad < 9; bad++) {
      const { sink, written } = atomicSink(new Set([bad, 8]));
      const outcomes = await bisecting(sink, { inOrder: 'halt' }).run(batchOf(0, 1, 2, 3, 4, 5, 6, 7, 8));
      const before = Array.from({ length: bad }, (_, i) => i);
      expect(written).toEqual(before);
      const codes = outcomes.map((outcome) => (outcome.kind === 'failed' ? outcome.failure.code : outcome.kind));
      expect(codes).toEqual([...before.map(() => 'ok'), '22P02', ...Array.from({ length: 8 - bad }, () => 'HALTED')]);
    }
  });

  it('refuses an order that it does not know', () => {
    expect(() => bisect({ inOrder: 'strict' as never })).toThrow(/'goOn' or 'halt'/);
  });
});
