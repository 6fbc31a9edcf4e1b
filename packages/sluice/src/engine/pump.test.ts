/** Tests of the pump: who is asked, who waits for what, whose turn it stays. */

import { describe, expect, it } from 'vitest';
import { Advice } from '../core/advice.js';
import { Pump, type Pumpable } from './pump.js';
import { readiness } from './readiness.js';

class Wanter implements Pumpable {
  readonly name: string;
  readonly weight: number;
  credit = 0;
  previous: this | undefined = undefined;
  next: this | undefined = undefined;
  queued = false;
  wants = 0;
  watched = 0;

  constructor(name: string, weight = 1) {
    this.name = name;
    this.weight = weight;
  }

  wantsToSend(): boolean {
    return this.wants > 0;
  }

  watch(): void {
    this.watched++;
  }
}

/** A pump with so many permits, and lanes that are closed by name. */
function world(permits: number) {
  const freed = new Advice();
  const closed = new Map<string, Advice>();
  const asked: string[] = [];
  const sent: string[] = [];
  let left = permits;
  const pump = new Pump<Wanter>({
    ready: readiness((lane) => {
      asked.push(lane);
      return closed.get(lane)?.later() ?? (left > 0 ? true : freed.later());
    }),
    send(lane) {
      left--;
      lane.wants--;
      sent.push(lane.name);
      return 1;
    },
  });
  const want = (lane: Wanter, batches: number) => {
    lane.wants += batches;
    pump.look(lane);
  };
  const free = async () => {
    left++;
    freed.give();
    await Promise.resolve();
    await Promise.resolve();
  };
  return { asked, sent, closed, want, free };
}

describe('a pump', () => {
  it('keeps a heavier lane its turn while all wait for a permit', async () => {
    const { sent, want, free } = world(1);
    want(new Wanter('a', 3), 9);
    want(new Wanter('b'), 9);
    for (let i = 0; i < 8; i++) await free();
    expect(sent.join('')).toBe('aaabaaaba');
  });

  it('asks no more than two lanes for one permit, and one that newly wants to send not at all', async () => {
    const { asked, want, free } = world(0);
    for (let i = 0; i < 100; i++) want(new Wanter(`${i}`), 1);
    expect(asked).toHaveLength(2);
    await free();
    expect(asked.length).toBeLessThanOrEqual(5);
  });

  it('parks a lane that alone must wait; it comes back at the tail', async () => {
    const { sent, closed, want, free } = world(0);
    const [a, b] = [new Wanter('a'), new Wanter('b')];
    closed.set('a', new Advice());
    want(a, 2);
    want(b, 2);
    await free();
    expect(sent).toEqual(['b']);
    const opened = closed.get('a')!;
    closed.delete('a');
    opened.give();
    await free();
    await free();
    expect(sent).toEqual(['b', 'b', 'a']);
  });

  it('strands no permit with a lane that has nothing left', async () => {
    const { sent, want, free } = world(0);
    const [a, b] = [new Wanter('a'), new Wanter('b')];
    want(a, 1);
    want(b, 1);
    a.wants = 0;
    await free();
    expect(sent).toEqual(['b']);
  });

  it('finds out that the first must wait alone when a second wants to send', () => {
    const { sent, closed, want } = world(1);
    closed.set('a', new Advice());
    want(new Wanter('a'), 1);
    want(new Wanter('b'), 1);
    expect(sent).toEqual(['b']);
  });

  it('lets a lane go that is free again while another one waits for what concerns that one alone', async () => {
    const { sent, closed, want } = world(3);
    for (const name of ['a', 'b', 'c']) closed.set(name, new Advice());
    for (const name of ['a', 'b', 'c']) want(new Wanter(name), 1);
    const opened = closed.get('a')!;
    closed.delete('a');
    opened.give();
    await Promise.resolve();
    expect(sent).toEqual(['a']);
  });
});
