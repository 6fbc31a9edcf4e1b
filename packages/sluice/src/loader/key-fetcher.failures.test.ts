import { expect, it } from 'vitest';
import { fetcherWorld } from '../../test/support/fetcher-world.js';
import { type Answer, lengths, recorder } from '../../test/support/scripted-http.js';
import { tallyImbalance } from '../core/tally.js';
import { testEnv } from '../testing/index.js';
import { createKeyFetcher } from './key-fetcher.js';

const status = (code: number, more: object = {}): Answer => ({
  error: Object.assign(new Error('refused'), { status: code }, more),
});

it('R-13 and E-12: a retry is the same batch: what arrives during the pause goes into a new one, cancelled keys drop out', async () => {
  const { env, http, told, ask } = fetcherWorld({ maxAttempts: 3 }, (call, index) => (index === 0 ? status(503) : lengths(call)));
  ask('a');
  const cancel = ask('b');
  await env.clock.advance(100);
  ask('a', 'a2');
  cancel();
  await env.clock.advance(99);
  expect(http.calls).toHaveLength(1);
  await env.clock.advance(1000);
  expect(http.calls.map((call) => call.path).sort()).toEqual(['/read?keys=a', '/read?keys=a', '/read?keys=a,b']);
  expect(told.map((line) => line.split(' ')[1]).sort()).toEqual(['a2=1', 'a=1', 'b:CANCELLED']);
});

it('R-20: when one part of a split window fails, only its own waiters do', async () => {
  const { env, told, ask } = fetcherWorld({ maxUrlBytes: 17 }, (call) =>
    call.keys.includes('bbb') ? status(400) : lengths(call),
  );
  for (const key of ['aaa', 'bbb', 'ccc']) ask(key);
  await env.clock.advance(100);
  expect([...told].sort()).toEqual(['100 aaa=3', '100 bbb:HTTP_STATUS', '100 ccc=3']);
});

it('R-21: a transport error fails every waiter once, each with an error of its own and the same typed cause', async () => {
  const { env, told, errors, ask } = fetcherWorld({}, () => ({
    error: Object.assign(new Error('reset'), { code: 'ECONNRESET' }),
  }));
  ask('a', 'a1');
  ask('b');
  ask('a', 'a2');
  await env.clock.advance(100);
  expect(told).toEqual(['100 a1:ECONNRESET', '100 b:ECONNRESET', '100 a2:ECONNRESET']);
  expect(new Set(errors).size).toBe(3);
  expect(new Set(errors.map((error) => error.cause)).size).toBe(1);
  expect(errors[0]).toMatchObject({ class: 'transient', key: 'a', cause: { code: 'ECONNRESET', cause: { message: 'reset' } } });
});

it('R-21 and E-8: invalid JSON, no object, or no text is BAD_RESPONSE with the beginning of the body, and is not retried', async () => {
  const long = `<html>${'x'.repeat(500)}`;
  const bodies: unknown[] = [long, '[1]', 'null', '3', '"foo"', undefined, 7, Buffer.from('{}')];
  const { env, http, told, errors, ask } = fetcherWorld({ maxAttempts: 5 }, (_, index) => ({ body: bodies[index] }));
  for (const index of bodies.keys()) {
    ask('foo', String(index));
    await env.clock.advance(100);
  }
  await env.clock.advance(60_000);
  expect(told.map((line) => line.split(' ')[1])).toEqual(bodies.map((_, index) => `${index}:BAD_RESPONSE`));
  expect(http.calls).toHaveLength(bodies.length);
  expect(errors[0]!.message).toContain('<html>xxx');
  expect(errors[0]!.message.length).toBeLessThan(400);
});

it('D-30: an error wins over a body that comes with it', async () => {
  const { env, told, ask } = fetcherWorld({}, () => ({ error: new Error('broken'), values: { foo: 1 } }));
  ask('foo');
  await env.clock.advance(100);
  expect(told).toEqual(['100 foo:FAILED']);
});

it('D-30: a transport that returns a promise fails the call when that rejects', async () => {
  const env = testEnv();
  const fetcher = createKeyFetcher({ env, httpGetAsync: async () => Promise.reject(new Error('async transport')) });
  const { told, callback } = recorder(env);
  fetcher.getKeyAsync('foo', callback('foo'));
  await env.clock.advance(100);
  expect(told).toEqual(['100 foo:FAILED']);
});

it('R-22 and E-10: an attempt ends after 5 s by default; a late reply is ignored and counted', async () => {
  const { env, http, fetcher, told, ask } = fetcherWorld();
  ask('foo');
  await env.clock.advance(5099);
  expect(told).toEqual([]);
  await env.clock.advance(1);
  expect(told).toEqual(['5100 foo:TIMEOUT']);
  http.calls[0]!.reply({ foo: 1 });
  expect(fetcher.stats().lateReplies).toBe(1);
  expect(env.eventsOf('lateReply')).toHaveLength(1);
  expect(http.calls[0]!.cancelled).toBe(true);
});

it('R-22: the deadline bounds all attempts together', async () => {
  const { env, http, told, ask } = fetcherWorld({ maxAttempts: 100, timeoutMs: 300, deadlineMs: 1000, retryBaseMs: 50 });
  ask('foo');
  await env.clock.advance(20_000);
  expect(told).toHaveLength(1);
  expect(told[0]).toMatch(/ foo:TIMEOUT$/);
  expect(Number(told[0]!.split(' ')[0])).toBeLessThanOrEqual(1100);
  expect(http.calls.length).toBeGreaterThan(1);
  expect(env.clock.timers).toBe(0);
});

it('R-23: transient failures are tried again with growing, jittered pauses, and none after the last', async () => {
  const { env, http, told, ask } = fetcherWorld({ maxAttempts: 3 }, () => status(503));
  ask('foo');
  await env.clock.advance(10_000);
  const [first, second, third] = http.calls.map((call) => call.at);
  expect(second! - first!).toBeGreaterThanOrEqual(100);
  expect(second! - first!).toBeLessThan(200);
  expect(third! - second!).toBeGreaterThanOrEqual(200);
  expect(third! - second!).toBeLessThan(400);
  expect(told).toEqual([`${third} foo:HTTP_STATUS`]);
});

it('R-23 and E-9: the status decides what is tried again; Retry-After is a floor', async () => {
  const callsFor = async (answer: Answer) => {
    const { env, http, errors, ask } = fetcherWorld({ maxAttempts: 2 }, () => answer);
    ask('foo');
    await env.clock.advance(60_000);
    return `${http.calls.length} ${(errors[0] as Error & { class?: string }).class}`;
  };
  for (const code of [408, 425, 429, 500, 502, 503, 504]) expect(await callsFor(status(code))).toBe('2 transient');
  for (const code of [401, 403, 404]) expect(await callsFor(status(code))).toBe('1 blocked');
  for (const code of [400, 409, 410, 422]) expect(await callsFor(status(code))).toBe('1 permanent');
  const { env, http, ask } = fetcherWorld({ maxAttempts: 2 }, () => status(429, { retryAfterMs: 7000 }));
  ask('foo');
  await env.clock.advance(60_000);
  expect(http.calls.map((call) => call.at)).toEqual([100, 7100]);
});

it('E-9: after 414 or 431 the batch is sent again in halves, down to single keys', async () => {
  for (const code of [414, 431]) {
    const { env, http, told, ask } = fetcherWorld({}, (call) => (call.keys.length > 1 ? status(code) : lengths(call)));
    for (const key of ['a', 'bb', 'ccc']) ask(key);
    await env.clock.advance(100);
    expect(http.calls.map((call) => call.keys.join())).toEqual(['a,bb,ccc', 'a', 'bb,ccc', 'bb', 'ccc']);
    expect(told).toEqual(['100 a=1', '100 bb=2', '100 ccc=3']);
  }
});

it('E-11: without maxAttempts nothing is tried again', async () => {
  const { env, http, ask } = fetcherWorld({}, () => status(503));
  ask('foo');
  await env.clock.advance(60_000);
  expect(http.calls).toHaveLength(1);
});

it('R-25: beyond maxHeldWaiters a request gets OVERLOADED, asynchronously, and is counted; what leaves makes room', async () => {
  const { env, fetcher, told, ask } = fetcherWorld({ maxHeldWaiters: 2 }, lengths);
  ask('a', 'a1');
  ask('a', 'a2');
  ask('a', 'a3');
  expect(told).toEqual([]);
  await env.clock.advance(100);
  ask('b');
  await env.clock.advance(100);
  expect(told).toEqual(['0 a3:OVERLOADED', '100 a1=1', '100 a2=1', '200 b=1']);
  expect(fetcher.stats()).toMatchObject({ offered: 4, accepted: 3, rejected: 1, ok: 3 });
  expect(env.eventsOf('rejected')).toMatchObject([{ reason: 'full' }]);
});

it('R-25: beyond maxHeldKeys a new key gets OVERLOADED, while a held one can still be joined', async () => {
  const { env, told, ask } = fetcherWorld({ maxHeldKeys: 1 }, lengths);
  ask('a', 'a1');
  ask('b');
  ask('a', 'a2');
  await env.clock.advance(100);
  expect(told).toEqual(['0 b:OVERLOADED', '100 a1=1', '100 a2=1']);
});

it('E-28: close dispatches the open window at once, drains, and refuses what comes after', async () => {
  const { env, http, fetcher, told, ask } = fetcherWorld({}, (call) => ({ ...lengths(call), afterMs: 50 }));
  ask('foo');
  ask('foo', 'foo2');
  const closed = fetcher.close();
  expect(http.paths()).toEqual(['0 /read?keys=foo']);
  ask('bar');
  await env.clock.advance(50);
  expect(told).toEqual(['0 bar:CLOSED', '50 foo=3', '50 foo2=3']);
  expect(await closed).toMatchObject({ ok: 2, failed: 0, dropped: 0, durationMs: 50 });
  expect(fetcher.close()).toBe(closed);
  expect(env.clock.timers).toBe(0);
});

it('E-28: at the deadline of close the rest gets SHUTDOWN_TIMEOUT, held or in flight, and is counted', async () => {
  const { env, fetcher, told, ask } = fetcherWorld({ maxInFlight: 1 });
  ask('flying');
  await env.clock.advance(100);
  ask('held', 'held1');
  ask('held', 'held2');
  const closed = fetcher.close({ deadlineMs: 200 });
  await env.clock.advance(200);
  expect([...told].sort()).toEqual(['300 flying:SHUTDOWN_TIMEOUT', '300 held1:SHUTDOWN_TIMEOUT', '300 held2:SHUTDOWN_TIMEOUT']);
  expect(await closed).toMatchObject({ dropped: 3, droppedHeld: 2, droppedInFlight: 1 });
  expect(tallyImbalance(fetcher.stats())).toBe(0);
});

it('flush dispatches the open window now, and resolves when its callbacks have run', async () => {
  const { env, http, fetcher, told, ask } = fetcherWorld({}, lengths);
  ask('foo');
  await fetcher.flush();
  expect(http.paths()).toEqual(['0 /read?keys=foo']);
  expect(told).toEqual(['0 foo=3']);
  expect(env.clock.timers).toBe(0);
});
