import { getEventListeners } from 'node:events';
import { expect, it, vi } from 'vitest';
import { fetcherWorld } from '../../test/support/fetcher-world.js';
import { lengths } from '../../test/support/scripted-http.js';

it('R-24: cancelling one waiter affects no other of the same key, and tells its callback once, asynchronously', async () => {
  const { env, http, told, ask } = fetcherWorld({}, lengths);
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
  const { env, http, ask } = fetcherWorld({}, lengths);
  const cancel = ask('opener');
  await env.clock.advance(50);
  ask('other');
  cancel();
  await env.clock.advance(1000);
  expect(http.paths()).toEqual(['100 /read?keys=other']);
});

it('R-24: the last waiter that leaves a batch in flight aborts its call; one of several does not', async () => {
  const { env, http, ask } = fetcherWorld();
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
  const { env, http, told, ask } = fetcherWorld({}, lengths);
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
  const { env, fetcher } = fetcherWorld({}, lengths);
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
  const { env, http, ask } = fetcherWorld({}, lengths);
  ask('foo')();
  expect(env.clock.timers).toBe(0);
  await env.clock.advance(70);
  ask('foo');
  await env.clock.advance(500);
  expect(http.paths()).toEqual(['170 /read?keys=foo']);
});

it('D-29: a callback may cancel a sibling that was not called yet; that gets CANCELLED, once', async () => {
  const { env, fetcher, told, callback } = fetcherWorld({}, lengths);
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
  const { env, http, fetcher, told, ask, callback } = fetcherWorld();
  fetcher.getKeyAsync('foo', callback('hasty'), { timeoutMs: 150 });
  ask('foo', 'patient');
  await env.clock.advance(150);
  http.calls[0]!.reply({ foo: 1 });
  await env.clock.settle();
  expect(told).toEqual(['150 hasty:TIMEOUT', '150 patient=1']);
  expect(env.clock.timers).toBe(0);
});
