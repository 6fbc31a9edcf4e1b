import { describe, expect, it } from 'vitest';
import type { SinkContext } from '../core/dispatcher.js';
import type { SluiceError } from '../core/errors.js';
import { VirtualClock } from '../env/virtual.js';
import type { SimulatedItem } from './item.js';
import { type SinkModel, sinkOf } from './sink-model.js';

const items = (count: number, from = 0): SimulatedItem[] =>
  Array.from({ length: count }, (_, i) => ({ n: from + i, stream: '', bytes: 0, atMs: 0 }));

/** A sink, and what its calls came to: when they ended, and how. */
function world(model: SinkModel, seed = 1) {
  const clock = new VirtualClock();
  const sink = sinkOf(model, { clock }, seed);
  const ends: string[] = [];
  const call = (batch = items(1), signal = new AbortController().signal) =>
    Promise.resolve(sink.write(batch, { signal } as SinkContext)).then(
      (results) => {
        const bad = results?.filter((result) => result instanceof Error).length ?? 0;
        ends.push(`${bad > 0 ? `${bad} bad` : 'ok'}@${Math.round(clock.now())}`);
      },
      (error: SluiceError) =>
        ends.push(
          `${error.class} ${error.code}${error.retryAfterMs === undefined ? '' : ` in ${Math.round(error.retryAfterMs)}`}@${Math.round(clock.now())}`,
        ),
    );
  const at = (ms: number, fn: () => void) => clock.after(ms, fn);
  return { clock, call, at, ends, run: () => clock.run(Number.POSITIVE_INFINITY) };
}

describe('a sink model', () => {
  it('costs something a call and something an item', async () => {
    const { call, run, ends } = world({ fixedMs: 5, perItemMs: 2 });
    void call(items(10));
    await run();
    expect(ends).toEqual(['ok@25']);
  });

  it('is slower beyond the knee', async () => {
    const { call, run, ends } = world({ fixedMs: 10, knee: { calls: 2, slowdown: 0.5 } });
    for (let i = 0; i < 4; i++) void call();
    await run();
    expect(ends).toEqual(['ok@10', 'ok@10', 'ok@15', 'ok@20']);
  });

  it('spreads its times around the same mean', async () => {
    for (const spread of ['exponential', 0.5] as const) {
      const { clock, call, run } = world({ fixedMs: 10, spread });
      let sum = 0;
      for (let i = 0; i < 5000; i++) void call().then(() => (sum += clock.now()));
      await run();
      expect(sum / 5000).toBeGreaterThan(9.5);
      expect(sum / 5000).toBeLessThan(10.5);
    }
  });

  it('fails its share of calls, by class', async () => {
    const { call, run, ends } = world({ errors: { transient: 0.2, unknown: 0.1 } });
    for (let i = 0; i < 5000; i++) void call();
    await run();
    const share = (start: string) => ends.filter((end) => end.startsWith(start)).length / 5000;
    expect(share('transient SIMULATED')).toBeCloseTo(0.2, 1);
    expect(share('unknown SIMULATED')).toBeCloseTo(0.1, 1);
    expect(share('ok')).toBeCloseTo(0.7, 1);
  });

  it('refuses its share of items, the same ones each time, by name or as a whole', async () => {
    const named = world({ badItems: 0.1 });
    void named.call(items(1000));
    void named.call(items(1000));
    await named.run();
    expect(named.ends[0]).toMatch(/^(8|9|10|11|12)\d bad@0$|^\d{2} bad@0$/);
    expect(named.ends[1]).toBe(named.ends[0]);
    const atomic = world({ badItems: 0.1, atomic: true });
    void atomic.call(items(1000));
    await atomic.run();
    expect(atomic.ends).toEqual(['permanent BAD_ITEM@0']);
  });

  it('has a rate limit, and says when to come again', async () => {
    const { call, run, ends, at } = world({ rateLimit: { perSecond: 10, burst: 2 } });
    for (let i = 0; i < 3; i++) void call();
    at(100, () => void call());
    at(110, () => void call());
    await run();
    expect(ends.sort()).toEqual([
      'ok@0',
      'ok@0',
      'ok@100',
      'transient RATE_LIMITED in 100@0',
      'transient RATE_LIMITED in 90@110',
    ]);
    const byItems = world({ rateLimit: { perSecond: 100, of: 'items' } });
    void byItems.call(items(90));
    void byItems.call(items(30));
    // More than a second's worth: it gets all there is, when that is full.
    byItems.at(900, () => void byItems.call(items(500)));
    await byItems.run();
    expect(byItems.ends.sort()).toEqual(['ok@0', 'ok@900', 'transient RATE_LIMITED in 200@0']);
  });

  it('is down at times: it fails, hangs until the end of the outage, or never answers', async () => {
    const { call, run, ends, at } = world({
      fixedMs: 1,
      outages: [
        { fromMs: 10, toMs: 20 },
        { fromMs: 30, toMs: 40, how: 'hang' },
        { fromMs: 50, toMs: 60, how: 'lost' },
      ],
    });
    for (const ms of [9, 10, 19.9, 20, 30, 39, 40, 50, 60]) at(ms, () => void call());
    await run();
    expect(ends).toEqual(['transient DOWN@10', 'ok@10', 'transient DOWN@20', 'ok@21', 'ok@41', 'ok@41', 'ok@41', 'ok@61']);
  });

  it('heeds an abort, and leaves no listener; or does not', async () => {
    const { clock, call, run, ends, at } = world({ fixedMs: 10 });
    const controller = new AbortController();
    void call(items(1), controller.signal);
    at(4, () => controller.abort());
    await run();
    expect([ends, clock.timers]).toEqual([['unknown CANCELLED@4'], 0]);
    const deaf = world({ fixedMs: 10, heedsAbort: false });
    const other = new AbortController();
    void deaf.call(items(1), other.signal);
    other.abort();
    await deaf.run();
    expect(deaf.ends).toEqual(['ok@10']);
  });

  it('refuses what makes no sense', () => {
    const sinks: readonly [SinkModel, string][] = [
      [{ fixedMs: -1 }, 'sink.fixedMs'],
      [{ errors: { transient: 2 } }, 'a share'],
      [{ outages: [{ fromMs: 5, toMs: 4 }] }, 'sink.outages'],
      [{ fixMs: 1 } as SinkModel, 'did you mean fixedMs'],
      [{ rateLimit: { perSecond: 0 } }, 'sink.rateLimit.perSecond'],
    ];
    for (const [model, message] of sinks) expect(() => world(model)).toThrow(message);
  });
});
