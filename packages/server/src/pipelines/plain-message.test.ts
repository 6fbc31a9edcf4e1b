import { describe, expect, it } from 'vitest';
import { plainMessage } from './plain-message.js';

describe('the plain message of a failure', () => {
  it.each([
    ['PG_CONNECTION', 'connect ECONNREFUSED 127.0.0.1:5432'],
    ['PG_42P01', 'relation "orders" does not exist'],
    ['TIMEOUT', 'the call took longer than 5000 ms'],
  ])('%s is whole', (code, message) => {
    expect(plainMessage({ code, message })).toBe(message);
  });

  it('a missing right is whole, and what a trigger raises as one for a row is not', () => {
    const code = 'PG_42501';
    expect(plainMessage({ code, class: 'blocked', message: 'permission denied for table t' })).toContain('permission denied');
    expect(plainMessage({ code, class: 'permanent', message: 'secret may not write' })).not.toContain('secret');
  });

  it.each([
    ['HTTP_STATUS', 'the receiver answered 503: {"secret":1}', 'the receiver answered 503'],
    [
      'PG_22P02',
      'invalid input syntax for type integer: "secret"',
      'PG_22P02; /v1/pipelines of the control plane has its message',
    ],
    ['PG_23505', 'Key (id)=(secret) already exists', 'PG_23505; /v1/pipelines of the control plane has its message'],
    ['SINK_FAILED', 'cannot use secret', 'SINK_FAILED; /v1/pipelines of the control plane has its message'],
  ])('%s loses what may be a payload', (code, message, plain) => {
    expect(plainMessage({ code, message })).toBe(plain);
  });
});
