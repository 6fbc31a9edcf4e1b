import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createSettledWaiters, type SettledHow } from './settled-waiters.js';

const never = new AbortController().signal;
const at = (...offsets: number[]) => offsets.map((offset) => ({ partition: 0, offset }));

test('one wait for many records is told once all are settled, in their order', async () => {
  const waiters = createSettledWaiters();
  const wait = waiters.wait([...at(3, 1), { partition: 1, offset: 3 }, ...at(3)], never);
  let told: unknown;
  void wait.told.then((hows) => {
    told = hows;
  });
  expect([waiters.count, waiters.offsets(0), waiters.offsets(1)]).toEqual([4, [1, 3], [3]]);
  waiters.tell(0, 3, 'dead');
  waiters.tell(1, 3, 'ok');
  await Promise.resolve();
  expect([told, waiters.count]).toEqual([undefined, 1]);
  waiters.tell(0, 1, 'ok');
  expect(await wait.told).toEqual(['dead', 'ok', 'ok', 'dead']);
  expect(waiters.count).toBe(0);
});

test('a wait for nothing is told at once', async () => {
  expect(await createSettledWaiters().wait([], never).told).toEqual([]);
});

test('who is aborted learns what is known by then, and leaves the others in line', async () => {
  const waiters = createSettledWaiters();
  const controller = new AbortController();
  const stays = waiters.wait(at(1, 2), never);
  const leaves = waiters.wait(at(1, 2), controller.signal);
  waiters.tell(0, 1, 'ok');
  controller.abort();
  expect(await leaves.told).toEqual(['ok', undefined]);
  expect(waiters.count).toBe(1);
  waiters.tell(0, 2, 'dead');
  expect(await stays.told).toEqual(['ok', 'dead']);
  expect(await waiters.wait(at(1), controller.signal).told).toEqual([undefined]);
  expect([waiters.count, waiters.offsets(0)]).toEqual([0, []]);
});

test('who is given a function gives up by what it is called with, also too late', async () => {
  const waiters = createSettledWaiters();
  const leaves: (() => void)[] = [];
  const leaving = waiters.wait(at(1, 2), (giveUp) => leaves.push(giveUp));
  const staying = waiters.wait(at(1), (giveUp) => leaves.push(giveUp));
  waiters.tell(0, 1, 'ok');
  for (const leave of leaves) leave();
  expect([await leaving.told, await staying.told]).toEqual([['ok', undefined], ['ok']]);
  expect([waiters.count, waiters.offsets(0)]).toEqual([0, []]);
});

test('what is told from elsewhere counts once, and a failure ends the wait', async () => {
  const waiters = createSettledWaiters();
  const wait = waiters.wait(at(1, 2), never);
  wait.tell(0, 'dead');
  wait.tell(0, 'ok');
  waiters.tell(0, 1, 'ok');
  waiters.tell(0, 2, 'ok');
  expect(await wait.told).toEqual(['dead', 'ok']);
  wait.fail(new Error('too late'));
  const failing = waiters.wait(at(5, 6), never);
  failing.fail(new Error('the log is gone'));
  await expect(failing.told).rejects.toThrow('the log is gone');
  expect([waiters.count, waiters.offsets(0)]).toEqual([0, []]);
});

test('nobody is forgotten and nobody stays in line, whatever the order of waits, answers and departures', async () => {
  // Around the end of a page.
  const offset = fc.integer({ min: 62, max: 66 });
  const step = fc.oneof(
    fc.record({ wait: fc.array(offset, { maxLength: 4 }) }),
    fc.record({ tell: offset, how: fc.constantFrom<SettledHow>('ok', 'dead') }),
    fc.record({ first: offset, last: offset, how: fc.constantFrom<SettledHow>('ok', 'dead') }),
    fc.record({ abort: fc.nat(9) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const waiters = createSettledWaiters();
      const waits: {
        told: Promise<unknown>;
        expected: (SettledHow | undefined)[];
        offsets: number[];
        over: boolean;
        stop: AbortController;
      }[] = [];
      for (const one of steps) {
        if ('wait' in one) {
          const stop = new AbortController();
          const { told } = waiters.wait(at(...one.wait), stop.signal);
          waits.push({ told, expected: one.wait.map(() => undefined), offsets: one.wait, over: one.wait.length === 0, stop });
        } else if ('how' in one) {
          const { first, last } = 'tell' in one ? { first: one.tell, last: one.tell } : one;
          if ('tell' in one) waiters.tell(0, first, one.how);
          else waiters.tellRange(0, { first, last }, one.how);
          for (const wait of waits) {
            if (wait.over) continue;
            wait.offsets.forEach((its, i) => {
              if (its >= first && its <= last) wait.expected[i] ??= one.how;
            });
            wait.over = !wait.expected.includes(undefined);
          }
        } else {
          const wait = waits[one.abort];
          if (wait === undefined) continue;
          wait.stop.abort();
          wait.over = true;
        }
        const standing = waits.filter(({ over }) => !over).flatMap(({ expected }) => expected.filter((how) => how === undefined));
        expect(waiters.count).toBe(standing.length);
      }
      for (const wait of waits) if (!wait.over) wait.stop.abort();
      expect(await Promise.all(waits.map(({ told }) => told))).toEqual(waits.map(({ expected }) => expected));
      expect([waiters.count, waiters.offsets(0)]).toEqual([0, []]);
    }),
  );
});
