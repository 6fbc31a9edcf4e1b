/** Tests of the observers: who hears what, at no harm to anybody. */

import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it } from 'vitest';
import { createBatcher } from '../batcher/batcher.js';
import { failure } from '../core/errors.js';
import type { SluiceEvent } from '../core/event.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { channelObserver } from './channels.js';
import { combineObservers } from './combine.js';

const rejected: SluiceEvent = { type: 'rejected', name: 'x', reason: 'full' };

describe('combineObservers', () => {
  it('tells all, in order, though one of them throws', () => {
    const heard: string[] = [];
    const observer = combineObservers(
      () => heard.push('first'),
      () => {
        throw failure('no');
      },
      () => heard.push('last'),
    );
    observer(rejected);
    expect(heard).toEqual(['first', 'last']);
  });
});

describe('channelObserver', () => {
  it('R-73, R-148: publishes each event on the channel of its type and on that of all', async () => {
    const heard: [string, SluiceEvent][] = [];
    const listener = (message: unknown, name: string | symbol) => void heard.push([String(name), message as SluiceEvent]);
    const names = ['test:rejected', 'test:settled', 'test:*'];
    for (const name of names) subscribe(name, listener);
    try {
      const env = testEnv({ observe: channelObserver({ prefix: 'test' }) });
      const sink = scriptedSink<string>({ answer: () => {} });
      const batcher = createBatcher<string>({ env, sink, window: { maxDelayMs: 10 }, maxHeldItems: 1 });
      batcher.offer('a');
      batcher.offer('b');
      await env.clock.advance(10);
      expect(heard.filter(([name]) => name !== 'test:*').map(([name]) => name)).toEqual(['test:rejected', 'test:settled']);
      expect(heard.filter(([name]) => name === 'test:*').map(([, event]) => event.type)).toEqual([
        'rejected',
        'cut',
        'called',
        'settled',
      ]);
    } finally {
      for (const name of names) unsubscribe(name, listener);
    }
  });

  it('publishes nothing where nobody listens', () => {
    const observer = channelObserver({ prefix: 'silent' });
    observer(rejected);
    expect(channel('silent:rejected').hasSubscribers).toBe(false);
  });
});
