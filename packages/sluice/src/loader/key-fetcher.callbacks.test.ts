import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, it, vi } from 'vitest';
import { fetcherWorld } from '../../test/support/fetcher-world.js';
import { lengths } from '../../test/support/scripted-http.js';
import { testEnv } from '../testing/index.js';
import { createKeyFetcher, type KeyFetcherOptions } from './key-fetcher.js';

/** A fetcher whose backend knows every key: its value is the length of the key. */
function world(options: Partial<KeyFetcherOptions> = {}) {
  return fetcherWorld(options, lengths);
}

it('R-233: no callback is called from within getKeyAsync, not even for an immediate error, a full window or a synchronous transport', async () => {
  const { env, fetcher } = world({ windowMs: 0, maxHeldWaiters: 1 });
  const log: string[] = [];
  const ask = (key: string) => fetcher.getKeyAsync(key, (error, value) => log.push(`called ${error?.code ?? value}`));
  ask('foo');
  ask('full');
  log.push('after full');
  await env.clock.advance(10);
  ask('');
  log.push('after empty');
  await env.clock.advance(10);
  expect(log).toEqual(['after full', 'called OVERLOADED', 'called 3', 'after empty', 'called INVALID_KEY']);
});

it('R-234: a callback that throws, or rejects, stops no other, is reported once and not called again (D-26, D-28, E-27)', async () => {
  const reported: string[] = [];
  const onCallbackError = (error: unknown, key: string) => reported.push(`${key}: ${(error as Error).message}`);
  const { env, told, ask, fetcher } = world({ onCallbackError });
  const throwing = vi.fn(() => {
    throw new Error('thrown');
  });
  fetcher.getKeyAsync('a', throwing);
  fetcher.getKeyAsync('b', async () => {
    throw new Error('rejected');
  });
  ask('c');
  await env.clock.advance(100);
  expect(told).toEqual(['100 c=1']);
  expect(throwing).toHaveBeenCalledTimes(1);
  expect(reported).toEqual(['a: thrown', 'b: rejected']);
  expect(env.eventsOf('callbackError')).toHaveLength(2);
  expect(fetcher.stats().callbackErrors).toBe(2);
});

it('R-234: without onCallbackError the error is printed on standard error', async () => {
  const print = vi.spyOn(console, 'error').mockImplementation(() => {});
  const { env, fetcher } = world();
  fetcher.getKeyAsync('a', () => {
    throw new Error('thrown');
  });
  await env.clock.advance(100);
  expect(print.mock.calls[0]![0]).toContain('the callback of getKeyAsync("a") failed');
  print.mockRestore();
});

it('R-236 and E-26: the callbacks of a batch run in order of arrival, across keys', async () => {
  const { env, told, ask } = world();
  const cancel = ask('foo', 'gone');
  ['bar', 'foo', 'baz', 'bar', 'foo'].forEach((key, i) => {
    ask(key, `${key}${i}`);
  });
  cancel();
  await env.clock.advance(100);
  expect(told).toEqual(['0 gone:CANCELLED', '100 bar0=3', '100 foo1=3', '100 baz2=3', '100 bar3=3', '100 foo4=3']);
});

it('never calls a callback in another caller’s asynchronous context, nor the transport in any caller’s', async () => {
  const storage = new AsyncLocalStorage<string>();
  const env = testEnv();
  const seen: (string | undefined)[] = [];
  const fetcher = createKeyFetcher({
    env,
    httpGetAsync(_, callback) {
      seen.push(`transport in ${storage.getStore()}`);
      callback(null, '{"a":1,"b":2}');
    },
  });
  storage.run('A', () => fetcher.getKeyAsync('a', () => seen.push(`a in ${storage.getStore()}`)));
  storage.run('B', () => fetcher.getKeyAsync('b', () => seen.push(`b in ${storage.getStore()}`)));
  await env.clock.advance(100);
  expect(seen).toEqual(['transport in undefined', 'a in A', 'b in B']);
});
