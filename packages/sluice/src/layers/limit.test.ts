/** Tests of limit: how many run at once, and who goes next. */

import { describe, expect, it } from 'vitest';
import { sinkDispatcher, stack } from '../core/stack.js';
import { batchOf, contextOf } from '../testing/made-batch.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { type LimitOptions, limit } from './limit.js';

function limited(maxInFlight: number) {
  const env = testEnv();
  const sink = scriptedSink<string>();
  const dispatcher = stack([limit<string, void>({ maxInFlight })], sinkDispatcher(sink, env), env);
  return { env, sink, dispatcher, run: (name: string) => dispatcher.dispatch(batchOf(name), contextOf()) };
}

describe('limit', () => {
  it('lets so many through at once, and is ready as long as one more would start', async () => {
    const { env, sink, dispatcher, run } = limited(2);
    expect(dispatcher.ready('')).toBe(true);
    void run('a');
    expect(dispatcher.ready('')).toBe(true);
    void run('b');
    expect(dispatcher.ready('')).toBeInstanceOf(Promise);
    void run('c');
    expect(sink.calls.map((call) => call.items[0])).toEqual(['a', 'b']);
    sink.calls[0]!.reply();
    await env.clock.settle();
    expect(sink.calls.map((call) => call.items[0])).toEqual(['a', 'b', 'c']);
  });

  it('serves those in line first, in order; all who ask meanwhile share one promise, which the next freed permit settles', async () => {
    const { env, sink, dispatcher, run } = limited(1);
    void run('a');
    void run('retry 1');
    void run('retry 2');
    let woken = 0;
    const freed = dispatcher.ready('a') as Promise<void>;
    expect(dispatcher.ready('b')).toBe(freed);
    void freed.then(() => woken++);
    for (let i = 0; i < 2; i++) {
      sink.calls[i]!.reply();
      await env.clock.settle();
      expect(woken).toBe(0);
    }
    expect(sink.calls.map((call) => call.items[0])).toEqual(['a', 'retry 1', 'retry 2']);
    sink.calls[2]!.reply();
    await env.clock.settle();
    expect(woken).toBe(1);
    expect(dispatcher.ready('')).toBe(true);
  });

  it('gives its permit back after a failure', async () => {
    const { env, sink, dispatcher, run } = limited(1);
    const ended = run('a');
    sink.calls[0]!.fail(new Error('down'));
    await env.clock.settle();
    expect(await ended).toMatchObject([{ kind: 'failed' }]);
    expect(dispatcher.ready('')).toBe(true);
  });

  it('takes Infinity for no bound only when it is written', () => {
    const { dispatcher, run } = limited(Number.POSITIVE_INFINITY);
    for (let i = 0; i < 5000; i++) void run('x');
    expect(dispatcher.ready('')).toBe(true);
    expect(() => limit({} as LimitOptions)).toThrow(/maxInFlight must be/);
  });

  it.each([0, 1.5, -1, Number.NaN])('refuses %o', (maxInFlight) => {
    expect(() => limit({ maxInFlight })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
