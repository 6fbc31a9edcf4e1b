/** Which failure of PostgreSQL is of which class, and what its message holds. */

import { describe, expect, test } from 'vitest';
import { failure } from '../core/errors.js';
import { classifyPostgresError } from './classify.js';

function serverError(code: string, message = 'it failed', more: object = {}): Error {
  return Object.assign(new Error(message), { code, severity: 'ERROR', ...more });
}

const sent = { commitSent: true };

describe('classifyPostgresError', () => {
  test.each([
    ['40001', 'transient'],
    ['40P01', 'transient'],
    ['53300', 'transient'],
    ['53100', 'transient'],
    ['57P01', 'transient'],
    ['57P03', 'transient'],
    ['57014', 'transient'],
    ['55P03', 'transient'],
    ['08006', 'transient'],
    ['25006', 'transient'],
    ['XX000', 'transient'],
    ['26000', 'blocked'],
    ['28P01', 'blocked'],
    ['28000', 'blocked'],
    ['3D000', 'blocked'],
    ['42P01', 'blocked'],
    ['42501', 'blocked'],
    ['42703', 'blocked'],
    ['42P10', 'blocked'],
    ['22P02', 'permanent'],
    ['22021', 'permanent'],
    ['23502', 'permanent'],
    ['23505', 'permanent'],
    ['40002', 'permanent'],
    ['54000', 'permanent'],
    ['P0001', 'permanent'],
    ['ABC01', 'permanent'],
    ['40003', 'unknown'],
    ['08007', 'unknown'],
  ])('%s is %s', (state, failureClass) => {
    expect(classifyPostgresError(serverError(state))).toMatchObject({ code: `PG_${state}`, class: failureClass });
  });

  test('a row that a policy refuses is permanent, a missing right of the same state is blocked', () => {
    const refused = serverError('42501', 'new row violates row-level security policy', { routine: 'ExecWithCheckOptions' });
    expect(classifyPostgresError(refused)).toMatchObject({ code: 'PG_42501', class: 'permanent' });
    const raised = serverError('42501', 'not this one', { routine: 'exec_stmt_raise' });
    expect(classifyPostgresError(raised)).toMatchObject({ code: 'PG_42501', class: 'permanent' });
    const missing = serverError('42501', 'permission denied for table events', { routine: 'aclcheck_error' });
    expect(classifyPostgresError(missing)).toMatchObject({ code: 'PG_42501', class: 'blocked' });
  });

  test('a pooler by statement is blocked: waiting does not help', () => {
    const refused = serverError('08P01', 'transaction blocks not allowed in statement pooling mode', { severity: 'FATAL' });
    expect(classifyPostgresError(refused)).toMatchObject({ code: 'PG_08P01', class: 'blocked' });
    expect(classifyPostgresError(serverError('08P01', 'query_wait_timeout')).class).toBe('transient');
  });

  test('a session that ends once the commit was sent is unknown, an error that the server answered with is not', () => {
    expect(classifyPostgresError(serverError('57P01'), sent)).toMatchObject({ code: 'PG_57P01', class: 'unknown' });
    expect(classifyPostgresError(serverError('23505'), sent)).toMatchObject({ class: 'permanent' });
    expect(classifyPostgresError(serverError('40P01'), sent)).toMatchObject({ class: 'transient' });
    expect(classifyPostgresError(serverError('57014'), sent)).toMatchObject({ class: 'transient' });
  });

  test('an error of the socket is transient before the commit was sent and unknown after', () => {
    const broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
    expect(classifyPostgresError(broken)).toMatchObject({ code: 'PG_CONNECTION', class: 'transient', cause: broken });
    expect(classifyPostgresError(broken, sent)).toMatchObject({ code: 'PG_CONNECTION', class: 'unknown' });
  });

  test('an attempt on several addresses tells all of them', () => {
    const refused = new AggregateError([new Error('connect ECONNREFUSED ::1:1'), new Error('connect ECONNREFUSED 127.0.0.1:1')]);
    expect(classifyPostgresError(refused).message).toBe(
      'no connection to PostgreSQL: connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1',
    );
  });

  test('a certificate that is not trusted and a missing password are blocked', () => {
    const untrusted = Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    expect(classifyPostgresError(untrusted).class).toBe('blocked');
    expect(classifyPostgresError(new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string')).class).toBe(
      'blocked',
    );
  });

  test('names the place without the value that stands there', () => {
    const where = 'COPY events, line 3, column payload: "secret, secret"';
    const { message } = classifyPostgresError(serverError('22P02', 'invalid input syntax for type json', { where }));
    expect(message).toBe('PostgreSQL: invalid input syntax for type json (COPY events, line 3, column payload)');
    expect(classifyPostgresError(serverError('23514', 'check', { where: 'COPY events, line 12: "secret"' })).message).toBe(
      'PostgreSQL: check (COPY events, line 12)',
    );
  });

  test('shortens what holds the payload, and never tells the detail', () => {
    const detail = 'Failing row contains (secret)';
    const { message } = classifyPostgresError(
      serverError('22P02', `invalid input syntax for type integer: "${'x'.repeat(1e6)}"\nsecond line`, { detail }),
    );
    expect(message.length).toBeLessThan(400);
    expect(message).not.toContain('secret');
  });

  test('a SluiceError stays as it is, and a value that is no error becomes one', () => {
    const closed = failure('closed', { code: 'CLOSED' });
    expect(classifyPostgresError(closed)).toBe(closed);
    expect(classifyPostgresError('boom')).toMatchObject({ code: 'PG_CONNECTION', class: 'transient' });
    expect(classifyPostgresError(undefined).message).toContain('undefined');
  });
});
