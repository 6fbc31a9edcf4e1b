import { describe, expect, it } from 'vitest';
import type { CutReason } from '../core/batch.js';
import { failure } from '../core/errors.js';
import type { Window } from '../core/window.js';
import { consumerWorld, eventsOf } from '../testing/consumer-world.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import type { Consumer } from './consumer-contract.js';
import { partitionOf } from './partitions.js';
import type { LogRecord } from './record.js';

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

  it('sends as much as a large call carries beside it, and no third call', async () => {
    const { env, sink, start, append, calls, drained } = await consumerWorld({ window: { maxDelayMs: 10_000 }, maxItems: 5_000 });
    const consumer = await start();
    const told: number[] = [];
    const sizes = () => calls().map((call) => call.length);
    await append(0, 600);
    wait(consumer, told, 599);
    await env.clock.advance(1);
    await append(600, 599);
    wait(consumer, told, 1_198);
    await env.clock.advance(1);
    expect(sizes()).toEqual([600]);
    await append(1_199, 1);
    wait(consumer, told, 1_199);
    await env.clock.advance(1);
    expect(sizes()).toEqual([600, 600]);
    await append(1_200, 1_300);
    wait(consumer, told, 2_499);
    await env.clock.advance(1);
    expect(sizes()).toEqual([600, 600]);
    sink.calls[1]!.reply();
    await env.clock.advance(1);
    expect(sizes()).toEqual([600, 600, 1_300]);
    sink.calls[0]!.reply();
    sink.calls[2]!.reply();
    await env.clock.advance(1);
    expect(told.sort((a, b) => a - b)).toEqual([599, 1_198, 1_199, 2_499]);
    await drained(consumer);
  });

  it('what is gathered beside a small call stays, however much more it is', async () => {
    const { env, sink, start, append, calls, drained } = await consumerWorld({ window: { maxDelayMs: 10_000 } });
    const consumer = await start();
    await append(0, 1);
    wait(consumer, [], 0);
    await env.clock.advance(1);
    await append(1, 499);
    wait(consumer, [], 499);
    await env.clock.advance(1);
    expect(calls().map((call) => call.length)).toEqual([1]);
    sink.calls[0]!.reply();
    await env.clock.advance(1);
    expect(calls().map((call) => call.length)).toEqual([1, 499]);
    sink.calls[1]!.reply();
    await env.clock.advance(1);
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

  const down = failure('down', { code: 'DOWN', class: 'transient' });
  const stubborn = { maxDelayMs: 5_000, baseMs: 5_000 };

  it('goes on for other lanes while a batch of one waits for its next try, and its followers leave with that', async () => {
    const options = { window: { maxDelayMs: 60_000 }, retry: stubborn, shards: 64 };
    const { env, sink, start, append, calls, drained } = await consumerWorld(options);
    const consumer = await start();
    const told: number[] = [];
    wait(consumer, told, 0);
    await append(0, 1, () => ({ key: 'stuck' }));
    await env.clock.advance(1);
    sink.calls[0]!.fail(down);
    await env.clock.advance(1);
    for (let n = 1; n <= 3; n++) {
      wait(consumer, told, n);
      await append(n, 1, () => ({ key: 'other' }));
      await env.clock.advance(1);
      expect(calls().at(-1)).toEqual([`e${n}`]);
      sink.calls.at(-1)!.reply();
      await env.clock.advance(1);
    }
    expect(told).toEqual([1, 2, 3]);
    wait(consumer, told, 4);
    await append(4, 1, () => ({ key: 'stuck' }));
    await env.clock.advance(100);
    expect(calls()).toHaveLength(4);
    await env.clock.advance(10_000);
    sink.calls[4]!.reply();
    await env.clock.advance(1);
    sink.calls[5]!.reply();
    await env.clock.advance(1);
    expect(calls().slice(4)).toEqual([['e0'], ['e4']]);
    expect(told).toEqual([1, 2, 3, 0, 4]);
    await drained(consumer);
  });

  it('leaves what nobody waits for to its window while others wait for what is stuck in retries', async () => {
    const { env, sink, start, append, calls, drained } = await consumerWorld({ window: { maxDelayMs: 1_000 }, retry: stubborn });
    const consumer = await start();
    wait(consumer, [], 0);
    await append(0, 1);
    await env.clock.advance(1);
    sink.calls[0]!.fail(down);
    await env.clock.advance(1);
    for (let n = 1; n <= 5; n++) {
      await append(n, 1);
      await env.clock.advance(100);
    }
    expect(calls()).toHaveLength(1);
    // Nor does one more who waits for it change that.
    wait(consumer, [], 0);
    await env.clock.advance(100);
    expect(calls()).toHaveLength(1);
    await env.clock.advance(500);
    expect(calls()[1]).toEqual(['e1', 'e2', 'e3', 'e4', 'e5']);
    sink.calls[1]!.reply();
    await drained(consumer);
  });

  it('leaves what nobody waits for to its window while others wait behind a halt, and sends that early once it goes on', async () => {
    let isMended = false;
    const sink = scriptedSink<LogRecord, undefined>({
      idempotent: true,
      atomic: true,
      answer: (records) => {
        if (!isMended && records[0]!.partition === halting) throw failure('no', { code: 'NO', class: 'permanent' });
      },
    });
    const calls = () => sink.calls.map(({ items }) => items.map(({ id }) => id));
    const { env, log, start, drained } = await consumerWorld({
      window: { maxDelayMs: 1_000 },
      strict: 'halt',
      partitions: 2,
      sink,
    });
    const consumer = await start();
    const push = async (n: number, key: string) => {
      const events = eventsOf(n, 1, () => ({ key }));
      return (await log.append('events', events)).appended[0]!;
    };
    const first = await push(0, 'a');
    const halting = first.partition;
    let other = 'b';
    for (let n = 0; partitionOf(other, 2) === halting; n++) other = `b${n}`;
    const told: unknown[] = [];
    void consumer.settledAll([first], never).then((hows) => told.push(...hows));
    await env.clock.advance(1);
    expect(consumer.status().partitions[halting]!.state).toBe('halted');
    const behind = await push(1, 'a');
    void consumer.settledAll([behind], never).then((hows) => told.push(...hows));
    for (let n = 2; n <= 4; n++) {
      expect((await push(n, other)).partition).not.toBe(halting);
      await env.clock.advance(100);
    }
    expect(calls()).toEqual([['e0']]);
    isMended = true;
    void consumer.resume();
    await env.clock.advance(1);
    expect(told).toEqual(['ok', 'ok']);
    await env.clock.advance(1_000);
    await drained(consumer);
  });

  it('sends it as soon as there is a call free for it, and what comes after that has its window', async () => {
    const { env, sink, start, append, calls, drained } = await consumerWorld({ window: { maxDelayMs: 1_000 }, maxInFlight: 1 });
    const consumer = await start();
    await append(0, 1);
    await env.clock.advance(1_000);
    expect(calls()).toEqual([['e0']]);
    const told: number[] = [];
    wait(consumer, told, 1);
    await append(1, 1);
    await env.clock.advance(10);
    sink.calls[0]!.reply();
    await env.clock.advance(1);
    expect(calls()).toEqual([['e0'], ['e1']]);
    await append(2, 1);
    sink.calls[1]!.reply();
    await env.clock.advance(900);
    expect([told, calls().length]).toEqual([[1], 2]);
    await env.clock.advance(100);
    expect(calls()[2]).toEqual(['e2']);
    sink.calls[2]!.reply();
    await drained(consumer);
  });

  it('sends what is awaited of a partition that has moved to another consumer meanwhile', async () => {
    const { env, sink, start, append, calls, drained } = await consumerWorld({ window: { maxDelayMs: 10_000 } });
    const first = await start();
    const second = await start();
    await env.clock.advance(1);
    const told: number[] = [];
    wait(second, told, 0);
    await append(0, 1);
    await env.clock.advance(1);
    sink.calls[0]!.fail(down);
    const left = first.drain({ deadlineMs: 0 });
    await env.clock.advance(10);
    await left;
    expect(calls()).toEqual([['e0'], ['e0']]);
    sink.calls[1]!.reply();
    await env.clock.advance(1);
    expect(told).toEqual([0]);
    await drained(second);
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
