/** Tests of what a flight holds, through settlement, abandoned calls and their late ends. */

import { describe, expect, it } from 'vitest';
import { Barrier } from './barrier.js';
import { Flight } from './flight.js';
import { EngineItem } from './item.js';
import type { Lane } from './lane.js';

const flightOf = (count: number) => {
  const items = Array.from({ length: count }, (_, i) => new EngineItem(i, 10));
  const lane = { name: 'L' } as Lane<unknown>;
  const runs = [{ acceptedAt: 5, barrier: new Barrier(0), length: count }];
  return new Flight('b', lane, { held: items, runs, bytes: count * 10, reason: 'size', firstAt: 5, bare: false });
};
const holds = (flight: Flight) => [flight.heldItems, flight.heldBytes, flight.isOver];

describe('a flight', () => {
  it('holds everything until it is settled, and nothing then', () => {
    const flight = flightOf(4);
    expect(holds(flight)).toEqual([4, 40, false]);
    flight.settle();
    expect(holds(flight)).toEqual([0, 0, true]);
  });

  it('counts an item once, however many abandoned calls may still read it', () => {
    const flight = flightOf(4);
    flight.abandon(4, 40);
    flight.abandon(4, 40);
    flight.abandon(1, 10);
    expect(holds(flight)).toEqual([4, 40, false]);
    flight.settle();
    expect(holds(flight)).toEqual([4, 40, false]);
    flight.abandon(-4, -40);
    expect(holds(flight)).toEqual([4, 40, false]);
    flight.abandon(-4, -40);
    expect(holds(flight)).toEqual([1, 10, false]);
    flight.abandon(-1, -10);
    expect(holds(flight)).toEqual([0, 0, true]);
  });

  it('is aborted when the last item that somebody waits for is left', () => {
    const flight = flightOf(2);
    flight.leave(new Error('one'));
    expect(flight.aborter.aborted).toBe(false);
    flight.leave(new Error('two'));
    expect(flight.aborter.reason).toMatchObject({ message: 'two' });
  });
});
