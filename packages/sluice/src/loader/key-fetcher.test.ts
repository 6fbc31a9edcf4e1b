import { expect, it, vi } from 'vitest';
import { fetcherWorld } from '../../test/support/fetcher-world.js';
import { lengths, recorder, scriptedHttp } from '../../test/support/scripted-http.js';
import { testEnv } from '../testing/index.js';
import { createKeyFetcher, type KeyFetcherOptions } from './key-fetcher.js';

/** A fetcher whose backend knows every key: its value is the length of the key. */
function world(options: Partial<KeyFetcherOptions> = {}) {
  return fetcherWorld(options, lengths);
}

it('S1 (a): foo@0 bar@30 foo@60 baz@99 make one call /read?keys=foo,bar,baz at 100, and four callbacks, each once', async () => {
  const { env, http, told, ask } = world();
  ask('foo', 'foo1');
  await env.clock.advance(30);
  ask('bar');
  await env.clock.advance(30);
  ask('foo', 'foo2');
  await env.clock.advance(39);
  ask('baz');
  await env.clock.advance(1000);
  expect(http.paths()).toEqual(['100 /read?keys=foo,bar,baz']);
  expect(told).toEqual(['100 foo1=3', '100 bar=3', '100 foo2=3', '100 baz=3']);
});

it('S1 (b): foo@150 while foo is in flight makes a second call at 250 with its own value', async () => {
  const env = testEnv();
  const http = scriptedHttp(env, (_, index) => ({ afterMs: 300, values: { foo: index + 1 } }));
  const fetcher = createKeyFetcher({ httpGetAsync: http.httpGetAsync, env });
  const { told, callback } = recorder(env);
  fetcher.getKeyAsync('foo', callback('first'));
  await env.clock.advance(150);
  fetcher.getKeyAsync('foo', callback('second'));
  await env.clock.advance(1000);
  expect(http.paths()).toEqual(['100 /read?keys=foo', '250 /read?keys=foo']);
  expect(told).toEqual(['400 first=1', '550 second=2']);
});

it('S1 (c): a slow first batch does not hold up, nor mix with, a fast second one', async () => {
  const env = testEnv();
  const http = scriptedHttp(env, (call) => ({ afterMs: call.keys[0] === 'a' ? 500 : 10, values: { a: 1, b: 2 } }));
  const fetcher = createKeyFetcher({ httpGetAsync: http.httpGetAsync, env });
  const { told, callback } = recorder(env);
  fetcher.getKeyAsync('a', callback('a'));
  await env.clock.advance(150);
  fetcher.getKeyAsync('b', callback('b'));
  await env.clock.advance(1000);
  expect(told).toEqual(['260 b=2', '600 a=1']);
});

it('S1 (e) and R-19: a key that the backend omits fails alone with KEY_NOT_FOUND and its key, and is not retried', async () => {
  const env = testEnv();
  const http = scriptedHttp(env, () => ({ values: { foo: 12 } }));
  const fetcher = createKeyFetcher({ httpGetAsync: http.httpGetAsync, env, maxAttempts: 3 });
  const { told, errors, callback } = recorder(env);
  fetcher.getKeyAsync('foo', callback('foo'));
  fetcher.getKeyAsync('bar', callback('bar'));
  await env.clock.advance(10_000);
  expect(told).toEqual(['100 foo=12', '100 bar:KEY_NOT_FOUND']);
  expect(errors[0]).toMatchObject({ key: 'bar' });
  expect(http.calls).toHaveLength(1);
});

it('R-2: the transport is given a path, not an absolute URL', async () => {
  const { env, http, ask } = world({ path: '/v2/read?region=eu' });
  ask('foo');
  await env.clock.advance(100);
  expect(http.calls[0]!.path).toBe('/v2/read?region=eu&keys=foo');
});

it('R-3: parseKvs may give a Map or an object; a throwing one fails the batch', async () => {
  const results: unknown[] = [new Map([['a', 1]]), { a: 2 }];
  const env = testEnv();
  const http = scriptedHttp(env, () => ({ body: 'anything' }));
  const parseKvs = () => {
    if (results.length === 0) throw new RangeError('broken');
    return results.shift() as Map<string, number>;
  };
  const fetcher = createKeyFetcher({ httpGetAsync: http.httpGetAsync, env, parseKvs });
  const { told, callback } = recorder(env);
  for (const name of ['map', 'object', 'thrown']) {
    fetcher.getKeyAsync('a', callback(name));
    await env.clock.advance(100);
  }
  expect(told).toEqual(['100 map=1', '200 object=2', '300 thrown:BAD_RESPONSE']);
});

it('R-4: getKeyAsync(key, callback) tells the callback null and the value, and returns how to cancel', async () => {
  const { env, fetcher } = world();
  const callback = vi.fn();
  const cancel = fetcher.getKeyAsync('foo', callback);
  expect(cancel).toBeTypeOf('function');
  await env.clock.advance(100);
  expect(callback.mock.calls).toEqual([[null, 3]]);
});

it('R-5: the window is 100 ms by default, and configurable', async () => {
  const { env, http, ask } = world({ windowMs: 40 });
  for (const at of [0, 39, 40, 41]) {
    await env.clock.advance(at - env.clock.now());
    ask(`k${at}`);
  }
  await env.clock.advance(200);
  expect(http.paths()).toEqual(['40 /read?keys=k0,k39', '80 /read?keys=k40,k41']);
});

it('R-6: a request every 50 ms makes a call every 100 ms: later requests do not extend the window', async () => {
  const { env, http, ask } = world();
  for (let i = 0; i < 20; i++) {
    ask(`k${i}`);
    await env.clock.advance(50);
  }
  await env.clock.advance(100);
  expect(http.calls.map((call) => call.at)).toEqual([100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
  expect(http.calls.every((call) => call.keys.length === 2)).toBe(true);
});

it('R-7: an idle fetcher makes no call and holds no timer', async () => {
  const { env, http, ask } = world();
  await env.clock.advance(10_000);
  expect([http.calls.length, env.clock.timers, env.clock.timersStarted]).toEqual([0, 0, 0]);
  ask('foo');
  await env.clock.advance(10_000);
  expect([http.calls.length, env.clock.timers]).toEqual([1, 0]);
});

it('R-8: each distinct key appears once per URL, in order of first arrival', async () => {
  const { env, http, ask } = world();
  for (const key of ['foo', 'bar', 'foo', 'foo']) ask(key);
  await env.clock.advance(100);
  expect(http.calls.map((call) => call.path)).toEqual(['/read?keys=foo,bar']);
});

it('R-9: the same function registered three times for one key is called three times (D-27)', async () => {
  const { env, fetcher } = world();
  const callback = vi.fn();
  for (let i = 0; i < 3; i++) fetcher.getKeyAsync('foo', callback);
  await env.clock.advance(100);
  expect(callback.mock.calls).toEqual([
    [null, 3],
    [null, 3],
    [null, 3],
  ]);
});

it('R-10: a transport that calls back twice tells each callback once', async () => {
  const { env, http, told, ask, fetcher } = world();
  ask('foo');
  await env.clock.advance(100);
  http.calls[0]!.reply({ foo: 99 });
  http.calls[0]!.fail(new Error('too late'));
  await env.clock.advance(10);
  expect(told).toEqual(['100 foo=3']);
  expect(fetcher.stats().lateReplies).toBe(2);
});

it('R-10: a transport that calls back and then throws tells each callback once; one that only throws fails the batch', async () => {
  const env = testEnv();
  let calls = 0;
  const httpGetAsync = (_: string, callback: (error: unknown, body?: string) => void) => {
    if (calls++ === 0) callback(null, '{"foo":1}');
    throw new Error('broken transport');
  };
  const fetcher = createKeyFetcher({ httpGetAsync, env });
  const { told, errors, callback } = recorder(env);
  fetcher.getKeyAsync('foo', callback('both'));
  await env.clock.advance(100);
  fetcher.getKeyAsync('foo', callback('throws'));
  await env.clock.advance(100);
  expect(told).toEqual(['100 both=1', '200 throws:FAILED']);
  expect(errors[0]!.message).toContain('broken transport');
});

it('R-10: a reply after the time-out, after a cancel, and a close during the flight each tell the callback once', async () => {
  const env = testEnv();
  const http = scriptedHttp(env, undefined, false);
  const fetcher = createKeyFetcher({ httpGetAsync: http.httpGetAsync, env, timeoutMs: 50 });
  const { told, callback } = recorder(env);
  fetcher.getKeyAsync('late', callback('late'));
  await env.clock.advance(150);
  const cancel = fetcher.getKeyAsync('left', callback('left'));
  await env.clock.advance(110);
  cancel();
  fetcher.getKeyAsync('drained', callback('drained'));
  const closed = fetcher.close({ deadlineMs: 10 });
  await env.clock.advance(10);
  for (const call of http.calls) call.reply({ late: 1, left: 2, drained: 3 });
  await env.clock.advance(1000);
  expect(told).toEqual(['150 late:TIMEOUT', '260 left:CANCELLED', '270 drained:SHUTDOWN_TIMEOUT']);
  expect(await closed).toMatchObject({ ok: 0, dropped: 1, droppedInFlight: 1 });
  expect(fetcher.stats().lateReplies).toBe(3);
});

it('R-11 and R-14: a request made just after the dispatch, in the same turn, goes into the next batch', async () => {
  const env = testEnv();
  const { told, callback } = recorder(env);
  let calls = 0;
  const fetcher = createKeyFetcher({
    env,
    httpGetAsync(_, answer) {
      // The batch has been dispatched: the transport runs.
      if (calls++ === 0) fetcher.getKeyAsync('foo', callback('second'));
      answer(null, JSON.stringify({ foo: calls }));
    },
  });
  fetcher.getKeyAsync('foo', callback('first'));
  await env.clock.advance(500);
  expect(told).toEqual(['100 first=1', '200 second=2']);
});

it('R-12: nothing is cached: the same key is asked for again in each window', async () => {
  const { env, http, ask } = world();
  for (let i = 0; i < 3; i++) {
    ask('foo');
    await env.clock.advance(100);
  }
  expect(http.calls).toHaveLength(3);
});

it('R-14 and R-235: a request made inside a callback opens the next window', async () => {
  const { env, http, told, ask, fetcher } = world();
  fetcher.getKeyAsync('foo', () => ask('foo'));
  await env.clock.advance(500);
  expect(http.paths()).toEqual(['100 /read?keys=foo', '200 /read?keys=foo']);
  expect(told).toEqual(['200 foo=3']);
});

it('R-15: batches overlap without bound, and a later one may end first', async () => {
  const env = testEnv();
  const http = scriptedHttp(env);
  const fetcher = createKeyFetcher({ httpGetAsync: http.httpGetAsync, env });
  const { told, callback } = recorder(env);
  for (let i = 0; i < 30; i++) {
    fetcher.getKeyAsync(`k${i}`, callback(`k${i}`));
    await env.clock.advance(100);
  }
  expect(http.calls).toHaveLength(30);
  for (const call of [...http.calls].reverse()) call.reply({ [call.keys[0]!]: 1 });
  await env.clock.settle();
  expect(told.slice(0, 2)).toEqual(['3000 k29=1', '3000 k28=1']);
  expect(told).toHaveLength(30);
});

it('R-16: the same key in two batches: each waiter sees the value of its own batch, whichever ends first', async () => {
  const env = testEnv();
  const http = scriptedHttp(env, (_, index) => ({ afterMs: index === 0 ? 400 : 10, values: { foo: index === 0 ? 1 : 2 } }));
  const fetcher = createKeyFetcher({ httpGetAsync: http.httpGetAsync, env });
  const { told, callback } = recorder(env);
  fetcher.getKeyAsync('foo', callback('old'));
  await env.clock.advance(100);
  fetcher.getKeyAsync('foo', callback('new'));
  await env.clock.advance(1000);
  expect(told).toEqual(['210 new=2', '500 old=1']);
});

it('R-18: an open window has exactly one timer, however many ask', async () => {
  const { env, ask } = world();
  for (let i = 0; i < 100; i++) ask(`k${i}`);
  expect([env.clock.timers, env.clock.timersStarted]).toEqual([1, 1]);
});

it('R-30: a thousand concurrent callers each get their own value', async () => {
  const { env, http, fetcher } = world();
  const answers = Array.from(
    { length: 1000 },
    (_, i) =>
      new Promise<number>((resolve, reject) => {
        fetcher.getKeyAsync('k'.repeat(1 + (i % 50)), (error, value) => (error === null ? resolve(value!) : reject(error)));
      }),
  );
  await env.clock.advance(100);
  expect(await Promise.all(answers)).toEqual(Array.from({ length: 1000 }, (_, i) => 1 + (i % 50)));
  expect(http.calls).toHaveLength(1);
});

it('E-1: the window is half-open: an arrival exactly at its end belongs to the next', async () => {
  const { env, http, ask } = world();
  ask('a');
  await env.clock.advance(100);
  ask('b');
  await env.clock.advance(100);
  expect(http.paths()).toEqual(['100 /read?keys=a', '200 /read?keys=b']);
});

it('E-3 (D-34): after a blocked loop the overdue window goes first; a request for the same key opens a new one', async () => {
  const { env, http, told, ask } = world();
  ask('a', 'old');
  env.clock.block(150);
  ask('a', 'new');
  expect(http.paths()).toEqual(['150 /read?keys=a']);
  await env.clock.advance(200);
  expect(http.paths()).toEqual(['150 /read?keys=a', '250 /read?keys=a']);
  expect(told).toEqual(['150 old=1', '250 new=1']);
});

it('E-17: while all calls run, the window stays open and keeps collecting, each key once', async () => {
  const { env, http, told, ask } = fetcherWorld({ maxInFlight: 1 }, (call) => ({ afterMs: 300, ...lengths(call) }));
  ask('a');
  await env.clock.advance(100);
  ask('b', 'b1');
  await env.clock.advance(250);
  ask('c');
  ask('b', 'b2');
  await env.clock.advance(1000);
  expect(http.paths()).toEqual(['100 /read?keys=a', '400 /read?keys=b,c']);
  expect(told).toEqual(['400 a=1', '700 b1=1', '700 c=1', '700 b2=1']);
});

it('works under fake timers without injection, also those that do not move performance.now (D-35)', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const paths: string[] = [];
    const fetcher = createKeyFetcher({
      httpGetAsync(path, callback) {
        paths.push(path);
        callback(null, '{"foo":1}');
      },
    });
    const callback = vi.fn();
    fetcher.getKeyAsync('foo', callback);
    // The monotonic clock runs on meanwhile, and shortens the timer by what passes before it is started.
    await vi.advanceTimersByTimeAsync(10);
    expect(paths).toEqual([]);
    await vi.advanceTimersByTimeAsync(90);
    expect(paths).toEqual(['/read?keys=foo']);
    expect(callback).toHaveBeenCalledExactlyOnceWith(null, 1);
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

it('refuses wrong options, each with what was expected', () => {
  const httpGetAsync = () => {};
  const make = (options: object) => () => createKeyFetcher({ httpGetAsync, ...options });
  expect(make({ windowMs: Number.NaN })).toThrow(/windowMs must be a number, 0 or more/);
  expect(make({ windowMS: 5 })).toThrow(/did you mean windowMs/);
  expect(make({ path: 'http://host/read' })).toThrow(/path must begin with \//);
  expect(make({ timeoutMs: 100, deadlineMs: 50 })).toThrow(/must not be more than deadlineMs/);
  expect(make({ missing: 'null' })).toThrow(/missing must be/);
  expect(make({ httpGetAsync: undefined })).toThrow(/needs httpGetAsync/);
});
