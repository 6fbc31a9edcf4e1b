import { getEventListeners } from 'node:events';
import { expect, it, vi } from 'vitest';
import { type Answer, type HttpCall, lengths, recorder, scriptedHttp } from '../../test/support/scripted-http.js';
import { tallyImbalance } from '../core/tally.js';
import { testEnv } from '../testing/index.js';
import { createKeyFetcher, type KeyFetcherOptions } from './key-fetcher.js';

/** A fetcher whose backend answers as told; without `answer` the test replies. */
function world(options: Partial<KeyFetcherOptions> = {}, answer?: (call: HttpCall, index: number) => Answer | undefined) {
  const env = testEnv();
  const http = scriptedHttp(env, answer);
  const fetcher = createKeyFetcher({ httpGetAsync: http.httpGetAsync, env, ...options });
  const { told, errors, callback } = recorder(env);
  const ask = (key: string, name = key, signal?: AbortSignal) =>
    fetcher.getKeyAsync(key, callback(name), signal === undefined ? undefined : { signal });
  return { env, http, fetcher, told, errors, ask, callback };
}

const status = (code: number, more: object = {}): Answer => ({
  error: Object.assign(new Error('refused'), { status: code }, more),
});

it('R-13 and E-12: a retry is the same batch: what arrives during the pause goes into a new one, cancelled keys drop out', async () => {
  const { env, http, told, ask } = world({ maxAttempts: 3 }, (call, index) => (index === 0 ? status(503) : lengths(call)));
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

it('R-20 and R-240: a value that is no finite number fails its own key only, without coercion (E-7)', async () => {
  const body = '{"good":-0.5,"text":"12","bool":true,"huge":1e400,"object":{},"array":[1],"zero":0}';
  const { env, told, ask } = world({}, () => ({ body }));
  for (const key of ['good', 'text', 'bool', 'huge', 'object', 'array', 'zero']) ask(key);
  await env.clock.advance(100);
  expect(told.map((line) => line.slice(4))).toEqual([
    'good=-0.5',
    'text:INVALID_VALUE',
    'bool:INVALID_VALUE',
    'huge:INVALID_VALUE',
    'object:INVALID_VALUE',
    'array:INVALID_VALUE',
    'zero=0',
  ]);
});

it('R-20: when one part of a split window fails, only its own waiters do', async () => {
  const { env, told, ask } = world({ maxUrlBytes: 18 }, (call) => (call.keys.includes('bbb') ? status(400) : lengths(call)));
  for (const key of ['aaa', 'bbb', 'ccc']) ask(key);
  await env.clock.advance(100);
  expect([...told].sort()).toEqual(['100 aaa=3', '100 bbb:HTTP_STATUS', '100 ccc=3']);
});

it('R-21: a transport error fails every waiter once, each with an error of its own and the same typed cause', async () => {
  const { env, told, errors, ask } = world({}, () => ({ error: Object.assign(new Error('reset'), { code: 'ECONNRESET' }) }));
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
  const { env, http, told, errors, ask } = world({ maxAttempts: 5 }, (_, index) => ({ body: bodies[index] }));
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
  const { env, told, ask } = world({}, () => ({ error: new Error('broken'), values: { foo: 1 } }));
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
  const { env, http, fetcher, told, ask } = world();
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
  const { env, http, told, ask } = world({ maxAttempts: 100, timeoutMs: 300, deadlineMs: 1000, retryBaseMs: 50 });
  ask('foo');
  await env.clock.advance(20_000);
  expect(told).toHaveLength(1);
  expect(told[0]).toMatch(/ foo:TIMEOUT$/);
  expect(Number(told[0]!.split(' ')[0])).toBeLessThanOrEqual(1100);
  expect(http.calls.length).toBeGreaterThan(1);
  expect(env.clock.timers).toBe(0);
});

it('R-23: transient failures are tried again with growing, jittered pauses, and none after the last', async () => {
  const { env, http, told, ask } = world({ maxAttempts: 3 }, () => status(503));
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
    const { env, http, errors, ask } = world({ maxAttempts: 2 }, () => answer);
    ask('foo');
    await env.clock.advance(60_000);
    return `${http.calls.length} ${(errors[0] as Error & { class?: string }).class}`;
  };
  for (const code of [408, 425, 429, 500, 502, 503, 504]) expect(await callsFor(status(code))).toBe('2 transient');
  for (const code of [401, 403, 404]) expect(await callsFor(status(code))).toBe('1 blocked');
  for (const code of [400, 409, 410, 422]) expect(await callsFor(status(code))).toBe('1 permanent');
  const { env, http, ask } = world({ maxAttempts: 2 }, () => status(429, { retryAfterMs: 7000 }));
  ask('foo');
  await env.clock.advance(60_000);
  expect(http.calls.map((call) => call.at)).toEqual([100, 7100]);
});

it('E-9: after 414 or 431 the batch is sent again in halves, down to single keys', async () => {
  for (const code of [414, 431]) {
    const { env, http, told, ask } = world({}, (call) => (call.keys.length > 1 ? status(code) : lengths(call)));
    for (const key of ['a', 'bb', 'ccc']) ask(key);
    await env.clock.advance(100);
    expect(http.calls.map((call) => call.keys.join())).toEqual(['a,bb,ccc', 'a', 'bb,ccc', 'bb', 'ccc']);
    expect(told).toEqual(['100 a=1', '100 bb=2', '100 ccc=3']);
  }
});

it('E-11: without maxAttempts nothing is tried again', async () => {
  const { env, http, ask } = world({}, () => status(503));
  ask('foo');
  await env.clock.advance(60_000);
  expect(http.calls).toHaveLength(1);
});

it('R-24: cancelling one waiter affects no other of the same key, and tells its callback once, asynchronously', async () => {
  const { env, http, told, ask } = world({}, lengths);
  const cancel = ask('foo', 'gone');
  ask('foo', 'stays');
  expect([cancel(), cancel()]).toEqual([true, false]);
  expect(told).toEqual([]);
  await env.clock.advance(100);
  expect(told).toEqual(['0 gone:CANCELLED', '100 stays=3']);
  expect(http.calls).toHaveLength(1);
  expect(cancel()).toBe(false);
});

it('R-24: the last waiter that leaves takes its key out of the open window; E-15: the window keeps its deadline', async () => {
  const { env, http, ask } = world({}, lengths);
  const cancel = ask('opener');
  await env.clock.advance(50);
  ask('other');
  cancel();
  await env.clock.advance(1000);
  expect(http.paths()).toEqual(['100 /read?keys=other']);
});

it('R-24: the last waiter that leaves a batch in flight aborts its call; one of several does not', async () => {
  const { env, http, ask } = world();
  const leave = [ask('a'), ask('b', 'b1'), ask('b', 'b2')];
  await env.clock.advance(100);
  leave[0]!();
  leave[1]!();
  expect([http.calls[0]!.signal.aborted, http.calls[0]!.cancelled]).toEqual([false, false]);
  leave[2]!();
  expect([http.calls[0]!.signal.aborted, http.calls[0]!.cancelled]).toEqual([true, true]);
  await env.clock.settle();
  expect(env.clock.timers).toBe(0);
});

it('E-13: an AbortSignal cancels as cancel() does; one that is aborted already is refused, asynchronously', async () => {
  const { env, http, told, ask } = world({}, lengths);
  const controller = new AbortController();
  ask('foo', 'foo', controller.signal);
  controller.abort();
  ask('bar', 'bar', controller.signal);
  expect(told).toEqual([]);
  await env.clock.advance(500);
  expect(told).toEqual(['0 foo:CANCELLED', '0 bar:CANCELLED']);
  expect(http.calls).toHaveLength(0);
});

it('R-248: ten thousand requests on one AbortSignal add one listener and leave none (D-40)', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  const { env, fetcher } = world({}, lengths);
  const { signal } = new AbortController();
  let called = 0;
  for (let i = 0; i < 10_000; i++) fetcher.getKeyAsync(`k${i % 700}`, () => called++, { signal });
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  await env.clock.advance(100);
  expect(called).toBe(10_000);
  expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  expect(warned).not.toHaveBeenCalled();
  warned.mockRestore();
});

it('E-14: when all leave before the dispatch, the timer stops and nothing is sent; the next request opens a new window', async () => {
  const { env, http, ask } = world({}, lengths);
  ask('foo')();
  expect(env.clock.timers).toBe(0);
  await env.clock.advance(70);
  ask('foo');
  await env.clock.advance(500);
  expect(http.paths()).toEqual(['170 /read?keys=foo']);
});

it('D-29: a callback may cancel a sibling that was not called yet; that gets CANCELLED, once', async () => {
  const { env, fetcher, told, callback } = world({}, lengths);
  const controller = new AbortController();
  const cancels: (() => boolean)[] = [];
  fetcher.getKeyAsync('first', () => {
    expect(cancels[0]!()).toBe(true);
    controller.abort();
  });
  cancels.push(fetcher.getKeyAsync('second', callback('second')));
  fetcher.getKeyAsync('third', callback('third'), { signal: controller.signal });
  await env.clock.advance(500);
  expect(told).toEqual(['100 second:CANCELLED', '100 third:CANCELLED']);
  expect(cancels[0]!()).toBe(false);
});

it('gives a request its own time-out, which affects nobody else', async () => {
  const { env, http, fetcher, told, ask, callback } = world();
  fetcher.getKeyAsync('foo', callback('hasty'), { timeoutMs: 150 });
  ask('foo', 'patient');
  await env.clock.advance(150);
  http.calls[0]!.reply({ foo: 1 });
  await env.clock.settle();
  expect(told).toEqual(['150 hasty:TIMEOUT', '150 patient=1']);
  expect(env.clock.timers).toBe(0);
});

it('R-25: beyond maxHeldWaiters a request gets OVERLOADED, asynchronously, and is counted; what leaves makes room', async () => {
  const { env, fetcher, told, ask } = world({ maxHeldWaiters: 2 }, lengths);
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
  const { env, told, ask } = world({ maxHeldKeys: 1 }, lengths);
  ask('a', 'a1');
  ask('b');
  ask('a', 'a2');
  await env.clock.advance(100);
  expect(told).toEqual(['0 b:OVERLOADED', '100 a1=1', '100 a2=1']);
});

it('R-237 and E-24: __proto__, constructor, toString and hasOwnProperty are ordinary keys; absent ones are KEY_NOT_FOUND', async () => {
  const keys = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'then'];
  const bodies = ['{}', '{"__proto__":1,"constructor":2,"toString":3,"hasOwnProperty":4,"then":5}'];
  const { env, told, ask } = world({}, (_, index) => ({ body: bodies[index] }));
  for (const key of keys) ask(key);
  await env.clock.advance(100);
  for (const key of keys) ask(key);
  await env.clock.advance(100);
  expect(told).toEqual([...keys.map((key) => `100 ${key}:KEY_NOT_FOUND`), ...keys.map((key, i) => `200 ${key}=${i + 1}`)]);
});

it('R-238 and E-19: keys are percent-encoded one by one and joined by literal commas', async () => {
  const { env, http, told, ask } = world({}, lengths);
  for (const key of ['a,b', 'é', '100%', 'a&b=c', 'a#b', 'a+b', 'a b', 'a/b']) ask(key);
  await env.clock.advance(100);
  expect(http.calls[0]!.path).toBe('/read?keys=a%2Cb,%C3%A9,100%25,a%26b%3Dc,a%23b,a%2Bb,a%20b,a%2Fb');
  expect(told.every((line) => /=\d$/.test(line))).toBe(true);
});

it('R-239 and E-18: a lone surrogate, an empty key and a key that is no string are refused alone (D-38)', async () => {
  const { env, http, told, ask } = world({}, lengths);
  ask('good');
  for (const key of ['\ud800', '', 7, undefined, null, {}] as string[]) ask(key, 'bad');
  await env.clock.advance(100);
  expect(told).toEqual([...Array(6).fill('0 bad:INVALID_KEY'), '100 good=4']);
  expect(http.paths()).toEqual(['100 /read?keys=good']);
});

it('E-18: a callback that is no function is a TypeError at once', () => {
  const { fetcher } = world();
  expect(() => fetcher.getKeyAsync('foo', undefined as unknown as () => void)).toThrow(TypeError);
});

it('R-241 and E-21: a window too long for one URL goes out as several calls at the same instant, each settling its own waiters', async () => {
  const { env, http, told, ask } = world({ maxUrlBytes: 20 });
  for (const key of ['aaaa', 'bbbb', 'cccc', 'dddd', 'éé']) ask(key);
  await env.clock.advance(100);
  expect(http.paths()).toEqual(['100 /read?keys=aaaa,bbbb', '100 /read?keys=cccc,dddd', '100 /read?keys=%C3%A9%C3%A9'].map(fits));
  http.calls[1]!.reply({ cccc: 3, dddd: 4 });
  await env.clock.advance(50);
  http.calls[0]!.reply({ aaaa: 1, bbbb: 2 });
  await env.clock.settle();
  expect(told).toEqual(['100 cccc=3', '100 dddd=4', '150 aaaa=1', '150 bbbb=2']);

  function fits(line: string): string {
    expect(line.length - '100 '.length).toBeLessThanOrEqual(23);
    return line;
  }
});

it('E-21: a key that fits into no URL gets KEY_TOO_LONG; one that just fits is sent', async () => {
  const { env, http, told, ask } = world({}, lengths);
  ask('x'.repeat(8000 - '/read?keys='.length), 'fits');
  ask('x'.repeat(8001 - '/read?keys='.length), 'long');
  await env.clock.advance(100);
  expect(told).toEqual(['0 long:KEY_TOO_LONG', '100 fits=7989']);
  expect(http.calls[0]!.path).toHaveLength(8000);
});

it('R-242 and E-25: unrequested keys are ignored and counted', async () => {
  const { env, fetcher, told, ask } = world({}, () => ({ values: { foo: 1, bar: 2, baz: 'x' } }));
  ask('foo');
  await env.clock.advance(100);
  expect(told).toEqual(['100 foo=1']);
  expect(fetcher.stats().unrequestedKeys).toBe(2);
  expect(env.eventsOf('unrequested')).toMatchObject([{ keys: 2 }]);
});

it('E-5 and E-6: a missing or null value is an error, undefined, or a number, as `missing` says', async () => {
  for (const [missing, told] of [
    ['error', ['foo:KEY_NOT_FOUND', 'bar:KEY_NOT_FOUND']],
    ['undefined', ['foo=undefined', 'bar=undefined']],
    [-1, ['foo=-1', 'bar=-1']],
  ] as const) {
    const each = world({ missing }, () => ({ values: { foo: null } }));
    each.ask('foo');
    each.ask('bar');
    await each.env.clock.advance(100);
    expect(each.told.map((line) => line.slice(4))).toEqual(told);
  }
});

it('E-28: close dispatches the open window at once, drains, and refuses what comes after', async () => {
  const { env, http, fetcher, told, ask } = world({}, (call) => ({ ...lengths(call), afterMs: 50 }));
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
  const { env, fetcher, told, ask } = world({ maxInFlight: 1 });
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
  const { env, http, fetcher, told, ask } = world({}, lengths);
  ask('foo');
  await fetcher.flush();
  expect(http.paths()).toEqual(['0 /read?keys=foo']);
  expect(told).toEqual(['0 foo=3']);
  expect(env.clock.timers).toBe(0);
});
