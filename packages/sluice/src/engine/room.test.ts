/** Tests of the line of callers that wait for room. */

import { describe, expect, it } from 'vitest';
import { failure } from '../core/errors.js';
import { Room } from './room.js';

describe('Room', () => {
  it('admits first come, first served, and lets anyone leave', async () => {
    const room = new Room<string>();
    const a = room.wait('a');
    const b = room.wait('b');
    const c = room.wait('c');
    expect(room.waiting).toBe(3);
    room.leave('a', failure('left', { code: 'CANCELLED' }));
    await expect(a).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(room.next()).toBe('b');
    room.admit('b');
    await b;
    expect([room.next(), room.waiting]).toEqual(['c', 1]);
    room.admit('c');
    await c;
    expect(room.next()).toBeUndefined();
  });

  it('sends everyone away in order', async () => {
    const room = new Room<string>();
    const waiting = [room.wait('a'), room.wait('b')];
    const gone = failure('closed', { code: 'CLOSED' });
    expect(room.takeAll(gone)).toEqual(['a', 'b']);
    expect(await Promise.allSettled(waiting)).toMatchObject([{ reason: gone }, { reason: gone }]);
    expect(room.waiting).toBe(0);
  });
});
