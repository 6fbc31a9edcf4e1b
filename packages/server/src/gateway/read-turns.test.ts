import { expect, test } from 'vitest';
import { createTurns } from './read-turns.js';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('does the first of a turn at once, the others in the turns that follow, in order', async () => {
  const inTurn = createTurns(2);
  const done: number[] = [];
  for (let i = 0; i < 5; i++) inTurn(() => done.push(i));
  expect(done).toEqual([0, 1]);
  await turn();
  expect(done).toEqual([0, 1, 2, 3]);
  // Behind those that wait, though there would be room in this turn.
  for (let i = 5; i < 7; i++) inTurn(() => done.push(i));
  expect(done).toEqual([0, 1, 2, 3]);
  await turn();
  expect(done).toEqual([0, 1, 2, 3, 4, 5]);
  await turn();
  await turn();
  inTurn(() => done.push(7));
  expect(done).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test('what a turn adds itself comes behind all that wait, and nothing is lost or done twice', async () => {
  const inTurn = createTurns(3);
  const done: string[] = [];
  for (let i = 0; i < 20; i++) {
    inTurn(() => {
      done.push(`a${i}`);
      inTurn(() => done.push(`b${i}`));
    });
  }
  while (done.length < 40) await turn();
  for (let i = 0; i < 3; i++) await turn();
  const nth = (letter: string) => done.filter((one) => one.startsWith(letter)).map((one) => Number(one.slice(1)));
  expect([nth('a'), nth('b')]).toEqual([Array.from({ length: 20 }, (_, i) => i), Array.from({ length: 20 }, (_, i) => i)]);
});

test('between the slices other work of the event loop gets its turn', async () => {
  const inTurn = createTurns(1);
  const order: string[] = [];
  for (let i = 0; i < 3; i++) {
    inTurn(() => {
      order.push(`answer ${i}`);
      setImmediate(() => order.push(`asked ${i}`));
    });
  }
  while (order.length < 6) await turn();
  expect(order.indexOf('asked 0')).toBeLessThan(order.indexOf('answer 2'));
});
