/** Tests of the errors: what a failure says of itself is believed. */

import { describe, expect, it } from 'vitest';
import { asFailure, failure, SluiceError, shorten } from './errors.js';

describe('failure', () => {
  it('makes an error with a code, a class and a cause', () => {
    const cause = new TypeError('below');
    const error = failure('above', { code: 'X', class: 'unknown', cause, retryAfterMs: 5, key: 7, deadLetterId: 'd1' });
    expect(error).toBeInstanceOf(SluiceError);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ code: 'X', class: 'unknown', cause, retryAfterMs: 5, key: 7, deadLetterId: 'd1' });
  });

  it('is FAILED and permanent unless told otherwise', () => {
    expect(failure('x')).toMatchObject({ code: 'FAILED', class: 'permanent' });
    expect(failure('x')).not.toHaveProperty('retryAfterMs');
  });

  it('wraps an error, believes its class, code and retryAfterMs, and keeps it as the cause', () => {
    const thrown = Object.assign(new Error('too many'), { class: 'transient', code: '53300', retryAfterMs: 50 });
    expect(failure(thrown)).toMatchObject({
      message: 'too many',
      class: 'transient',
      code: '53300',
      retryAfterMs: 50,
      cause: thrown,
    });
    expect(failure(thrown, { class: 'blocked', code: 'Y' })).toMatchObject({ class: 'blocked', code: 'Y', retryAfterMs: 50 });
  });

  it('keeps everything when a dead letter is added to it', () => {
    const first = failure('bad', { code: 'BAD', class: 'unknown', key: 'k' });
    expect(failure(first, { deadLetterId: 'd' })).toMatchObject({ code: 'BAD', class: 'unknown', key: 'k', deadLetterId: 'd' });
  });
});

describe('asFailure', () => {
  it('hands on one of ours as it is', () => {
    const ours = failure('x', { class: 'blocked' });
    expect(asFailure(ours, 'transient')).toBe(ours);
  });

  it.each([undefined, null, 'text', 42, Symbol('s'), { class: 'no such class', code: 5 }])(
    'takes %o as a thrown value',
    (thrown) => {
      expect(asFailure(thrown, 'transient')).toMatchObject({ class: 'transient', code: 'FAILED' });
    },
  );

  it('does not take a numeric code (DOMException) for one of ours', () => {
    expect(asFailure(new DOMException('stop', 'AbortError'), 'transient').code).toBe('FAILED');
  });

  it('makes a failure of what cannot be read', () => {
    const hostile = {
      get class(): string {
        throw new Error('no class for you');
      },
    };
    const { proxy, revoke } = Proxy.revocable(new Error('gone'), {});
    revoke();
    for (const thrown of [hostile, proxy])
      expect(asFailure(thrown, 'transient')).toMatchObject({
        code: 'FAILED',
        class: 'transient',
        message: expect.stringContaining('cannot be read'),
      });
  });
});

describe('shorten', () => {
  it('caps long keys, and survives what cannot be printed', () => {
    expect(shorten('k'.repeat(1000))).toHaveLength(58);
    expect(shorten(Object.create(null))).toBe('object');
    expect(shorten('a"b')).toBe('"a\\"b"');
  });
});
