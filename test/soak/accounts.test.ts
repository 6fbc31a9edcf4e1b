import { describe, expect, it } from 'vitest';
import { type Arrived, createAccounts } from './accounts.js';

const arrived = (ids: readonly string[], options: Partial<Arrived> = {}): Arrived => ({
  ...{ pipeline: 'p', stream: 'orders', dead: new Set(), refusesMarked: true, mayDouble: false },
  counts: ids.reduce((counts, id) => counts.set(id, (counts.get(id) ?? 0) + 1), new Map<string, number>()),
  ...options,
});

describe('the accounts of a soak', () => {
  const told = () => {
    const accounts = createAccounts();
    for (const id of ['a', 'b', 'c!']) accounts.sent('orders', id);
    accounts.told('orders', 'a', 'durable', 1);
    accounts.told('orders', 'b', 'accepted', 1);
    accounts.told('orders', 'c!', 'durable', 1);
    return accounts;
  };
  const dead = new Set(['c!']);

  it('find nothing where all arrived, and the refused one is a dead letter', () => {
    expect(told().compare(arrived(['a', 'b'], { dead }))).toEqual([]);
  });

  it('find what is missing, doubled, wrongly dead, wrongly there, and of nobody', () => {
    const accounts = told();
    expect(accounts.compare(arrived(['b'], { dead }))).toEqual(['p: 1 acknowledged events are missing: a']);
    expect(accounts.compare(arrived(['a', 'b', 'b'], { dead }))).toEqual(['p: 1 events have arrived more than once: b']);
    expect(accounts.compare(arrived(['a', 'b', 'b'], { dead, mayDouble: true }))).toEqual([]);
    expect(accounts.compare(arrived(['a', 'b', 'c!']))).toEqual([
      'p: 1 acknowledged events that the sink refuses are no dead letters: c!',
      'p: 1 refused events have arrived: c!',
    ]);
    expect(accounts.compare(arrived(['a', 'b', 'x'], { dead: new Set(['c!', 'a']) }))).toEqual([
      'p: 1 good events are dead letters: a',
      'p: 1 events were never sent: x',
    ]);
  });

  it('forgive the loss of what was only accepted in a life that was killed, and of nothing else', () => {
    const accounts = told();
    expect(accounts.compare(arrived(['a'], { dead }))).toHaveLength(1);
    accounts.killed(2);
    expect(accounts.compare(arrived(['a'], { dead }))).toHaveLength(1);
    accounts.killed(1);
    expect(accounts.compare(arrived(['a'], { dead }))).toEqual([]);
    expect(accounts.compare(arrived(['b'], { dead }))).toHaveLength(1);
  });
});
