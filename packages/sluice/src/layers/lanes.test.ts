/** Tests of the lanes of a layer: what is forgotten, and that memory stays bounded. */

import { describe, expect, it } from 'vitest';
import { laneStates } from './lanes.js';

describe('lanes of a layer', () => {
  it('are one when they are not kept apart', () => {
    const states = laneStates(
      false,
      () => ({}),
      () => true,
    );
    expect(states.of('a')).toBe(states.of('b'));
  });

  it('keep their state as long as it says something, and are at most twice those that do', () => {
    const states = laneStates(
      true,
      (lane) => ({ lane, busy: lane.startsWith('busy') }),
      (state) => !state.busy,
    );
    const busy = Array.from({ length: 100 }, (_, i) => states.of(`busy ${i}`));
    for (let i = 0; i < 10_000; i++) states.of(`idle ${i}`);
    expect(states.size).toBeLessThanOrEqual(256);
    expect(busy.every((state, i) => states.of(`busy ${i}`) === state)).toBe(true);
  });
});
