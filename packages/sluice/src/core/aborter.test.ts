/** Tests of the aborter: its signal is a real one, and its listeners are called once. */

import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { Aborter, whenAborted } from './aborter.js';

describe('an aborter', () => {
  it('has a real signal, with the reason', () => {
    const aborter = new Aborter();
    const reason = new Error('enough');
    const heard: unknown[] = [];
    aborter.signal.addEventListener('abort', () => heard.push('event'));
    whenAborted(aborter.signal, () => heard.push(aborter.signal.reason));
    aborter.abort(reason);
    aborter.abort(new Error('again'));
    expect(heard).toEqual(['event', reason]);
    expect(() => aborter.signal.throwIfAborted()).toThrow(reason);
  });

  it('puts no event listener on its signal, and calls nobody who has cancelled, even while it aborts', () => {
    const aborter = new Aborter();
    const heard: string[] = [];
    const cancel = whenAborted(aborter.signal, () => heard.push('cancelled'));
    whenAborted(aborter.signal, () => {
      heard.push('first');
      cancelLast();
    });
    const cancelLast = whenAborted(aborter.signal, () => heard.push('last'));
    expect(getEventListeners(aborter.signal, 'abort')).toEqual([]);
    cancel();
    aborter.abort(new Error('enough'));
    expect(heard).toEqual(['first']);
  });

  it('listens to signals of others as well, and leaves no listener', () => {
    const controller = new AbortController();
    let heard = 0;
    whenAborted(controller.signal, () => heard++);
    const cancel = whenAborted(controller.signal, () => heard++);
    cancel();
    controller.abort();
    expect([heard, getEventListeners(controller.signal, 'abort')]).toEqual([1, []]);
  });
});
