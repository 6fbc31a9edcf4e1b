/** Tests of the deque: order, growth, giving memory back, taking many. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Deque } from './deque.js';

/** What is in it, without taking it out for good. */
function rest<T>(deque: Deque<T>): T[] {
  const values = deque.take(deque.length);
  for (const value of values) deque.push(value);
  return values;
}

describe('Deque', () => {
  it('hands out in the order it took in', () => {
    const deque = new Deque<number>();
    for (let i = 0; i < 100; i++) deque.push(i);
    expect(deque.peek()).toBe(0);
    expect(Array.from({ length: 100 }, () => deque.shift())).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(deque.shift()).toBeUndefined();
    expect(deque.peek()).toBeUndefined();
  });

  it('behaves like an array under any mixture of calls', () => {
    const command = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('push' as const), value: fc.nat() }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('shift' as const), value: fc.constant(0) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('take' as const), value: fc.nat(30) }) },
      // Around the length of a piece.
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('many' as const), value: fc.integer({ min: 4000, max: 4200 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('take' as const), value: fc.integer({ min: 4000, max: 9000 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), value: fc.constant(0) }) },
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 100 }), (commands) => {
        const deque = new Deque<number>();
        let model: number[] = [];
        for (const { kind, value } of commands) {
          if (kind === 'push') {
            deque.push(value);
            model.push(value);
          } else if (kind === 'many') {
            for (let i = 0; i < value; i++) {
              deque.push(i);
              model.push(i);
            }
          } else if (kind === 'shift') expect(deque.shift()).toBe(model.shift());
          else if (kind === 'take') expect(deque.take(value)).toEqual(model.splice(0, value));
          else {
            deque.clear();
            model = [];
          }
          expect(deque.length).toBe(model.length);
          expect(deque.peek()).toBe(model[0]);
        }
        expect(rest(deque)).toEqual(model);
      }),
    );
  });

  it('keeps its order while it gives memory back after a burst', () => {
    const deque = new Deque<number>();
    for (let i = 0; i < 10_000; i++) deque.push(i);
    for (let i = 0; i < 9_990; i++) expect(deque.shift()).toBe(i);
    expect(rest(deque)).toEqual([9990, 9991, 9992, 9993, 9994, 9995, 9996, 9997, 9998, 9999]);
  });

  it('takes many off a long queue and forgets them', () => {
    const deque = new Deque<number>();
    for (let i = 0; i < 5_000; i++) deque.push(i);
    const taken = Array.from({ length: 10 }, () => deque.take(500));
    expect(taken.flat()).toEqual(Array.from({ length: 5_000 }, (_, i) => i));
    deque.push(1);
    expect(rest(deque)).toEqual([1]);
  });

  it("keeps nothing alive that has left it, and hands out arrays that are the caller's", () => {
    for (const count of [10, 5_000]) {
      const deque = new Deque<number>();
      for (let i = 0; i < count; i++) deque.push(i);
      const taken = deque.take(count);
      deque.push(-1);
      expect([taken.length, taken[0], taken.at(-1), rest(deque), deque.take(2)]).toEqual([count, 0, count - 1, [-1], [-1]]);
      taken.length = 0;
      deque.push(7);
      expect([deque.shift(), deque.length]).toEqual([7, 0]);
    }
  });

  it('R-133, D-39: is linear in the whole, where Array.shift is not', () => {
    const deque = new Deque<number>();
    let steps = 0;
    for (let i = 0; i < 200_000; i++) deque.push(i);
    while (deque.shift() !== undefined) steps++;
    expect(steps).toBe(200_000);
  });
});
