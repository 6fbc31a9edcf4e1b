/** Tests of adaptive batch sizes: the sign, the fixed point, windup, uneven intervals, swings. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { type AdaptiveItems, fillRateItems, pidItems, zieglerNichols } from './adaptive-size.js';
import { createBatcher } from './batcher.js';

/** Batches of arrivals at a steady rate, cut when full or when the window ends; returns the bound after each. */
function run(controller: AdaptiveItems, perMs: number, delayMs: number, start: number, batches: number): number[] {
  const bounds: number[] = [];
  let maxItems = start;
  let now = 0;
  for (let i = 0; i < batches; i++) {
    const items = Math.max(1, Math.min(maxItems, Math.round(perMs * delayMs)));
    now += items / perMs;
    maxItems = controller.next({ items, maxItems, now });
    bounds.push(maxItems);
  }
  return bounds;
}

describe('pidItems (R-136, R-137)', () => {
  it('C3.8: emptier batches than the setpoint lower the bound, fuller ones raise it', () => {
    expect(pidItems().next({ items: 10, maxItems: 100, now: 0 })).toBeLessThan(100);
    expect(pidItems().next({ items: 100, maxItems: 100, now: 0 })).toBeGreaterThan(100);
  });

  it('C3.8: 5,000/s and 100 ms settle at 625, from 100 through 184 after 11 batches; from above too', () => {
    const up = run(pidItems(), 5, 100, 100, 200);
    expect(up[10]).toBeGreaterThanOrEqual(175);
    expect(up[10]).toBeLessThanOrEqual(195);
    expect(Math.abs(up[49]! - 625)).toBeLessThan(25);
    expect(up.at(-1)).toBe(625);
    expect(Math.abs(run(pidItems(), 5, 100, 5000, 400).at(-1)! - 625)).toBeLessThan(3);
  });

  it('R-137: stays within its limits, whatever comes', () => {
    const cut = fc.record({ items: fc.integer({ min: 1, max: 5000 }), ms: fc.nat(500) });
    fc.assert(
      fc.property(fc.array(cut), fc.double({ min: 0, max: 5, noNaN: true }), (cuts, gain) => {
        const controller = pidItems({ min: 20, max: 900, kp: gain, ki: gain, kd: gain });
        let now = 0;
        for (const { items, ms } of cuts) {
          now += ms;
          const next = controller.next({ items, maxItems: 100, now });
          expect(next).toBeGreaterThanOrEqual(20);
          expect(next).toBeLessThanOrEqual(900);
        }
      }),
    );
  });

  it('R-137: does not wind up at a limit: after a long time there it leaves it at once', () => {
    const after = (batches: number) => {
      const controller = pidItems({ ki: 1, max: 200 });
      run(controller, 100, 100, 200, batches);
      let maxItems = 200;
      let steps = 0;
      for (; maxItems >= 200 && steps < 1000; steps++)
        maxItems = controller.next({ items: 10, maxItems, now: 1e6 + steps * 100 });
      return steps;
    };
    expect(after(5000)).toBeLessThanOrEqual(after(10) + 1);
  });

  it('D-44: the integral goes by time and not by batches: twice as many batches in the same time move it as far', () => {
    const drift = (everyMs: number) => {
      const controller = pidItems({ kp: 0, ki: 0.2, smoothing: 1 });
      let maxItems = 1000;
      let sum = 0;
      for (let now = 0; now <= 1000; now += everyMs) {
        maxItems = controller.next({ items: 850, maxItems: 1000, now });
        sum++;
      }
      return { maxItems, sum };
    };
    const [coarse, fine] = [drift(100), drift(50)];
    expect(fine.sum).toBeGreaterThan(coarse.sum * 1.8);
    expect(Math.abs(fine.maxItems - coarse.maxItems) / 1000).toBeLessThan(0.12);
  });

  it('D-44: small changes add up though each rounds to nothing', () => {
    const bounds = run(pidItems({ kp: 0.02, min: 1 }), 1, 20, 20, 500);
    expect(bounds.at(-1)).toBeGreaterThan(20);
  });

  it('R-139: lowers its gains and says so when the bound swings to and fro, and then settles', () => {
    const warned: number[] = [];
    const controller = pidItems({ kp: 3, smoothing: 1, onOscillation: (gain) => warned.push(gain) });
    const bounds = run(controller, 5, 100, 100, 400);
    expect(warned.length).toBeGreaterThan(0);
    expect(controller.damped).toBe(warned.length);
    expect(warned[0]).toBeCloseTo(2 / 3);
    expect(Math.abs(bounds.at(-1)! - 625)).toBeLessThan(30);
  });

  it('R-138: knows the gains of Ziegler and Nichols', () => {
    const gains = zieglerNichols(2, 4);
    expect(gains.kp).toBeCloseTo(1.2);
    expect(gains.ki).toBeCloseTo(0.6);
    expect(gains.kd).toBeCloseTo(0.6);
  });

  it.each([{ setpoint: 0 }, { setpoint: 1.1 }, { min: 0 }, { min: 5, max: 4 }, { kp: -1 }, { smoothing: 0 }, { kx: 1 }])(
    'refuses %o',
    (options) => {
      expect(() => pidItems(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    },
  );
});

describe('fillRateItems (R-174)', () => {
  it('sets the bound to what arrives in a window, divided by the setpoint, within its limits', () => {
    expect(Math.abs(run(fillRateItems({ delayMs: 100 }), 5, 100, 50, 40).at(-1)! - 625)).toBeLessThan(5);
    expect(run(fillRateItems({ delayMs: 100, max: 300 }), 5, 100, 50, 40).at(-1)).toBe(300);
    expect(run(fillRateItems({ delayMs: 100, min: 30 }), 0.01, 100, 50, 40).at(-1)).toBe(30);
    expect(() => fillRateItems({ delayMs: 0 })).toThrow(/above 0/);
  });
});

describe('adapt', () => {
  it('is refused where items go one by one: a batch of two would break the order that was promised', () => {
    const adapt = fillRateItems({ delayMs: 100, min: 1 });
    const sink = { write: async () => {} };
    for (const alone of [{ passThrough: true }, { strict: 'halt' as const }, { strict: 'deadLetter' as const }])
      expect(() => createBatcher<number>({ sink, adapt, ...alone })).toThrow(/adapt has nothing to adapt/);
    expect(() => createBatcher<number>({ sink: { ...sink, atomic: true }, adapt, strict: 'halt' })).not.toThrow();
  });

  it('moves maxItems of a batcher, which starts at what was given', async () => {
    const env = testEnv();
    const sink = scriptedSink<number>({ answer: () => undefined });
    const adapt = fillRateItems({ delayMs: 100, min: 1 });
    const batcher = createBatcher<number>({ sink, env, window: { maxDelayMs: 100 }, maxItems: 10, adapt });
    expect(batcher.stats().maxItems).toBe(10);
    for (let ms = 0; ms < 3000; ms++) {
      batcher.offer(ms);
      await env.clock.advance(1);
    }
    expect(batcher.stats().maxItems).toBeGreaterThan(100);
    expect(sink.calls.at(-1)!.items.length).toBeGreaterThan(90);
    await batcher.close();
  });
});
