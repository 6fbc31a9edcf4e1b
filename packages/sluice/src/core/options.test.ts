/** Tests of the checks on options. */

import { describe, expect, it } from 'vitest';
import { createBatcher, createLoader } from '../index.js';
import { adaptive, bisect, breaker, deadLetter, idempotency, limit, observe, rate, retry, timeout } from '../layers/index.js';
import { checkNames, numberOption } from './options.js';

describe('checkNames', () => {
  it('suggests what a misspelt option may have meant', () => {
    expect(() => checkNames('retry', { maxAttempt: 3 }, ['maxAttempts', 'baseMs'])).toThrow(/did you mean maxAttempts\?/);
    expect(() => checkNames('retry', { MAXATTEMPTS: 3 }, ['maxAttempts', 'baseMs'])).toThrow(/did you mean maxAttempts\?/);
  });

  it('lists the options when nothing is near', () => {
    expect(() => checkNames('retry', { colour: 1 }, ['maxAttempts', 'baseMs'])).toThrow(/it takes maxAttempts, baseMs/);
  });

  it('caps a hostile name in the message', () => {
    const message = (() => {
      try {
        checkNames('x', { ['k'.repeat(10_000)]: 1 }, ['a']);
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    })();
    expect(message.length).toBeLessThan(120);
  });

  it.each([{}, null, { random: {} }, 5])('refuses %o as an env', (env) => {
    expect(() => checkNames('createBatcher', { env }, ['env'])).toThrow(/env must be an Env; got/);
    expect(() => createBatcher({ sink: { write() {} }, env: env as never })).toThrow(/env must be an Env; got/);
  });

  it.each(Object.entries({ adaptive, bisect, breaker, deadLetter, idempotency, limit, observe, rate, retry, timeout }))(
    'says of %s among the layers that it was not called',
    (name, factory) => {
      const layers = [factory] as never;
      const sentence = `layers must be an array of layers, such as [${name}()]`;
      expect(() => createBatcher({ sink: { write() {} }, layers })).toThrow(sentence);
      expect(() => createLoader(async (keys: readonly number[]) => keys, { layers })).toThrow(sentence);
    },
  );

  it.each([undefined, null, 5, 'x'])('refuses %o in place of an object of options', (options) => {
    expect(() => checkNames('limit', options as unknown as object, ['maxInFlight'])).toThrow(/needs an object of options/);
  });
});

describe('numberOption', () => {
  it('gives the default for undefined, and takes what is in range', () => {
    expect(numberOption('x', undefined, 7, { least: 1 })).toBe(7);
    expect(numberOption('x', 1, 7, { least: 1 })).toBe(1);
    expect(numberOption('x', 1.5, 7, { least: 1 })).toBe(1.5);
    expect(numberOption('x', Number.POSITIVE_INFINITY, 7, { least: 1, whole: true, infinite: true })).toBe(Infinity);
  });

  it.each([
    [0, { least: 1 }],
    [1.5, { least: 1, whole: true }],
    [Number.NaN, { least: 1 }],
    [Number.POSITIVE_INFINITY, { least: 1 }],
    [Number.NEGATIVE_INFINITY, { least: 1, infinite: true }],
    ['5', { least: 1 }],
    [null, { least: 1 }],
  ])('refuses %o in %o', (value, range) => {
    expect(() => numberOption('x', value as unknown as number, 7, range)).toThrow(/x must be a/);
  });
});
