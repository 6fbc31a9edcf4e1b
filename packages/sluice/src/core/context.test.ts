/** Tests of the context: its signal and its entries are real, and are made only when somebody reads them. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { batchOf } from '../testing/made-batch.js';
import { Aborter } from './aborter.js';
import { abortionOf, contextWith, sinkContext } from './context.js';

const rest = { deadlineAt: 50, attempt: 2, idempotent: true };
let signalsMade = 0;

beforeEach(() => {
  signalsMade = 0;
  const Real = AbortController;
  class Counted extends Real {
    constructor() {
      super();
      signalsMade++;
    }
  }
  vi.stubGlobal('AbortController', Counted);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

describe('a context', () => {
  it('makes no signal and no items for a sink that looks at neither', () => {
    const batch = batchOf('a');
    Object.defineProperty(batch, 'items', { get: () => expect.unreachable('nobody asked for the items') });
    const told = sinkContext(contextWith(new Aborter(), rest), batch);
    expect([told.deadlineAt, told.attempt, told.idempotent, told.batchId, told.lane]).toEqual([50, 2, true, 'b', '']);
    expect(signalsMade).toBe(0);
  });

  it('gives everyone who asks the same signal, aborted or not', () => {
    const aborter = new Aborter();
    const context = contextWith(aborter, rest);
    const { signal } = context;
    expect([signal.aborted, signal === context.signal, signalsMade]).toEqual([false, true, 1]);
    const reason = new Error('enough');
    aborter.abort(reason);
    expect([signal.aborted, signal.reason, abortionOf(context).reason]).toEqual([true, reason, reason]);
    const late = new Aborter();
    late.abort(reason);
    expect(contextWith(late, rest).signal.reason).toBe(reason);
  });

  it('leaves its signal and its entries with a copy, and believes the signal of a copy that was given another', () => {
    const context = contextWith(new Aborter(), rest);
    const batch = batchOf('a', 'b');
    const copy = { ...sinkContext(context, batch) };
    expect([copy.signal, copy.entries, copy.batchId]).toEqual([context.signal, batch.items, 'b']);
    const { signal } = new AbortController();
    const changed = { ...context, signal, attempt: 3 };
    expect(abortionOf(changed)).toBe(signal);
    expect(sinkContext(changed, batch)).toMatchObject({ ...rest, attempt: 3, signal, entries: batch.items });
  });
});
