/** When batches go straight, and what a failure of one that did says. */

import { describe, expect, test } from 'vitest';
import { newKeysExpected, straightFailure } from './straight.js';

/** What batches cost of which some hold a key that exists, where the usual way costs 2, and a try of the straight one 1. */
function costOf(batches: readonly boolean[]): number {
  const expectation = newKeysExpected();
  let cost = 0;
  for (const isNew of batches) {
    const straight = expectation.isNew;
    if (straight) cost += 1;
    if (straight && isNew) expectation.wereNew();
    else {
      cost += 2;
      if (straight) expectation.wereNot();
      else expectation.merged(isNew);
    }
  }
  return cost;
}

describe('newKeysExpected', () => {
  test('new keys go straight from the first batch on, and again after one that had to go twice and one that did not', () => {
    const expectation = newKeysExpected();
    expect(expectation.isNew).toBe(true);
    expectation.wereNew();
    expectation.wereNot();
    expect(expectation.isNew).toBe(false);
    expectation.merged(false);
    expect(expectation.isNew).toBe(false);
    expectation.merged(true);
    expect(expectation.isNew).toBe(true);
    expect(expectation.counts).toEqual({ straight: 1, repeated: 1 });
  });

  test('redelivered batches go the usual way at once, and cost one try all in all', () => {
    expect(costOf(new Array<boolean>(1000).fill(false))).toBe(2 * 1000 + 1);
    expect(costOf(new Array<boolean>(1000).fill(true))).toBe(1000);
  });

  test('each try in vain needs twice as many batches of new keys before the next, up to 64', () => {
    const expectation = newKeysExpected();
    for (const needed of [1, 2, 4, 8, 16, 32, 64, 64, 64]) {
      expectation.wereNot();
      for (let batch = 0; batch < needed; batch++) {
        expect(expectation.isNew).toBe(false);
        expectation.merged(true);
      }
      expect(expectation.isNew).toBe(true);
    }
  });

  test('batches under way together that fail together count as one', () => {
    const expectation = newKeysExpected();
    for (let batch = 0; batch < 4; batch++) expectation.wereNot();
    expectation.wereNew();
    expectation.merged(true);
    expect(expectation.isNew).toBe(true);
  });

  test('no sequence of batches is more than an eighth dearer than the usual way alone', () => {
    const length = 14;
    for (let bits = 0; bits < 2 ** length; bits++) {
      const batches = Array.from({ length }, (_, at) => (bits & (1 << at)) === 0);
      // Six times over: what the first tries cost is not what they cost in the long run.
      const many = Array.from({ length: 6 }, () => batches).flat();
      expect(costOf(many)).toBeLessThanOrEqual(2 * many.length * 1.125 + 3);
    }
  });
});

describe('straightFailure', () => {
  const told = (code: string, where?: string) => Object.assign(new Error('m'), { code, severity: 'ERROR', where });

  test.each([
    ['a value that cannot be read', told('22P02', 'COPY events, line 3, column n: "x"'), 'badRow'],
    ['a null', told('23502', 'COPY events, line 3: "x"'), 'badRow'],
    ['a check', told('23514', 'COPY events, line 3: "x"'), 'badRow'],
    ['a key that exists', told('23505', 'COPY events, line 3'), 'usualWay'],
    ['a key of another index', told('23505', 'COPY events, line 3: "x"'), 'usualWay'],
    ['an index that cannot be computed', told('22012', 'COPY events, line 3: "x"'), 'usualWay'],
    [
      'a check in a function of an index',
      told('23514', 'PL/pgSQL function f(text) line 1 at RAISE\nCOPY events, line 3'),
      'usualWay',
    ],
    ['a parent that is missing', told('23503'), 'usualWay'],
    ['a deadlock', told('40P01', 'COPY events, line 3'), 'usualWay'],
    ['a table that was altered', told('42704'), 'stale'],
    ['a lost connection', new Error('socket hang up'), 'other'],
    ['a server that stops', told('57P01'), 'other'],
    ['a disk that is full', told('53100'), 'other'],
    ['a statement that took too long', told('57014'), 'other'],
  ])('%s', (_what, thrown, says) => {
    expect(straightFailure(thrown)).toBe(says);
  });
});
