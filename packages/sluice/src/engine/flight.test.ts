/** Tests of what a flight holds, through settlement, abandoned calls and their late ends. */

import { describe, expect, it } from 'vitest';
import { Flight } from './flight.js';
import { EngineItem } from './item.js';

const flightOf = (count: number) => {
  const items = Array.from({ length: count }, (_, i) => new EngineItem(i, 10));
  return new Flight('b', items, count * 10);
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
    expect(flight.signal.aborted).toBe(false);
    flight.leave(new Error('two'));
    expect(flight.signal.reason).toMatchObject({ message: 'two' });
  });
});
