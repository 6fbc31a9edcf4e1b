import { describe, expect, it } from 'vitest';
import type { CutReason } from '../core/batch.js';
import type { Window } from '../core/window.js';
import { consumerWorld, eventsOf } from '../testing/consumer-world.js';
import type { Consumer } from './consumer-contract.js';

const never = new AbortController().signal;

/** Notes in `told` when the records at these offsets are settled. */
function wait(consumer: Consumer, told: number[], ...offsets: number[]): void {
  for (const offset of offsets) void consumer.settled(0, offset, never).then(() => told.push(offset));
}

describe('sendAwaited', () => {
  it('sends what somebody waits for before its window ends, and what came during the call after it, in one', async () => {
    const { env, sink, start, append, calls, drained } = await consumerWorld({ window: { maxDelayMs: 10_000 } });
    const consumer = await start();
    const told: number[] = [];
    await append(0, 2);
    await env.clock.advance(1);
    expect(calls()).toEqual([]);

    wait(consumer, told, 1);
    await env.clock.advance(1);
    expect(calls()).toEqual([['e0', 'e1']]);

    await append(2, 1);
    wait(consumer, told, 2);
    await env.clock.advance(1);
    await append(3, 2);
    wait(consumer, told, 3);
    await env.clock.advance(1);
    expect(calls()).toHaveLength(1);
    sink.calls[0]!.reply();
    await env.clock.advance(1);
    expect(calls()).toEqual([
      ['e0', 'e1'],
      ['e2', 'e3', 'e4'],
    ]);
    sink.calls[1]!.reply();
    await env.clock.advance(1);
    expect(told).toEqual([1, 2, 3]);
    const cuts = env.events.flatMap((event) => (event.type === 'cut' ? [event.reason] : []));
    expect(cuts).toEqual(['awaited', 'awaited'] satisfies CutReason[]);
    await drained(consumer);
  });

  it('sends a record that is read only after somebody has begun to wait for it', async () => {
    const { env, start, append, calls, drained } = await consumerWorld({ window: { maxDelayMs: 10_000 } });
    const consumer = await start();
    wait(consumer, [], 0);
    await env.clock.advance(1);
    await append(0, 1);
    await env.clock.advance(1);
    expect(calls()).toEqual([['e0']]);
    await drained(consumer);
  });

  it('sends it whichever consumer of the group reads it, and whichever was asked', async () => {
    const { env, log, start, calls, drained } = await consumerWorld({ window: { maxDelayMs: 10_000 }, partitions: 2 });
    const consumers = [await start(), await start()];
    await env.clock.advance(1);
    const appended = [];
    for (const key of ['a', 'b', 'c', 'd', 'e'])
      appended.push(
        ...(
          await log.append(
            'events',
            eventsOf(appended.length, 1, () => ({ key })),
          )
        ).appended,
      );
    expect(new Set(appended.map(({ partition }) => partition))).toEqual(new Set([0, 1]));
    await env.clock.advance(1);
    expect(calls()).toEqual([]);
    void consumers[0]!.settledAll(appended, never);
    await env.clock.advance(1);
    expect(calls().flat().sort()).toEqual(['e0', 'e1', 'e2', 'e3', 'e4']);
    for (const consumer of consumers) await drained(consumer);
  });

  it('leaves what nobody waits for to its window, also after those who waited have got their answer or given up', async () => {
    const { env, sink, start, append, calls, drained } = await consumerWorld({ window: { maxDelayMs: 1_000 } });
    const consumer = await start();
    const leaving = new AbortController();
    consumer.settled(0, 7, leaving.signal).catch(() => {});
    wait(consumer, [], 0);
    await append(0, 1);
    await env.clock.advance(1);
    sink.calls[0]!.reply();
    await env.clock.advance(1);
    leaving.abort();
    await append(1, 1);
    await env.clock.advance(990);
    expect(calls()).toHaveLength(1);
    await env.clock.advance(11);
    expect(calls()).toHaveLength(2);
    sink.calls[1]!.reply();
    await drained(consumer);
  });

  it('does not wait for a call that is stuck: what is awaited behind it has its window', async () => {
    const { env, start, append, calls, drained } = await consumerWorld({ window: { maxDelayMs: 100 } });
    const consumer = await start();
    wait(consumer, [], 0, 1);
    await append(0, 1);
    await env.clock.advance(1);
    await append(1, 1);
    await env.clock.advance(99);
    expect(calls()).toHaveLength(1);
    await env.clock.advance(2);
    expect(calls()).toHaveLength(2);
    await drained(consumer);
  });

  it.each<Window>([{ throttleMs: 1_000 }, { everyMs: 1_000 }])('keeps the rhythm of %j', async (window) => {
    const { env, start, append, calls, drained } = await consumerWorld({ window });
    const consumer = await start();
    await env.clock.advance(1);
    wait(consumer, [], 0, 1, 2);
    await append(0, 1);
    await env.clock.advance(1);
    const before = calls().length;
    await append(1, 2);
    await env.clock.advance(900);
    expect(calls()).toHaveLength(before);
    await env.clock.advance(100);
    expect(calls()).toHaveLength(before + 1);
    await drained(consumer);
  });
});
