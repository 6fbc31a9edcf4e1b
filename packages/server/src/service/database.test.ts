import { testEnv } from 'sluice/testing';
import { expect, it } from 'vitest';
import { createRevival } from './database.js';

type Answer = 'running' | 'restarted' | Error;

function revived() {
  const env = testEnv();
  const answers: ((answer: Answer) => void)[] = [];
  const lines: string[] = [];
  const world = { env, answers, lines, back: 0 };
  const ensureRunning = () =>
    new Promise<'running' | 'restarted'>((resolve, reject) => {
      answers.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
    });
  const revival = createRevival(ensureRunning, {
    logger: { warn: (_: object, message: string) => void lines.push(message) },
    clock: env.clock,
    onBack: () => void world.back++,
  });
  const answer = async (with_: Answer) => {
    answers.at(-1)!(with_);
    await env.clock.settle();
  };
  return Object.assign(world, { revival, answer });
}

it('a database that several pipelines want back is started, and told of, once', async () => {
  const world = revived();
  world.revival.revive();
  world.revival.revive();
  expect(world.answers).toHaveLength(1);
  await world.answer('restarted');
  expect([world.lines, world.back]).toEqual([['the embedded PostgreSQL had died and was started again.'], 1]);
  world.revival.revive();
  expect(world.answers).toHaveLength(2);
  await world.answer('running');
  world.revival.revive();
  expect(world.answers).toHaveLength(3);
  // One that runs need not be the reason why it was asked for.
  expect([world.lines.length, world.back]).toEqual([1, 1]);
});

it('is started again and again, though nobody asks again, until it runs; and that it cannot be is told once', async () => {
  const world = revived();
  world.revival.revive();
  for (let failed = 1; failed <= 3; failed++) {
    await world.answer(new Error('its port is taken'));
    await world.env.clock.advance(1_000);
    expect(world.answers).toHaveLength(failed + 1);
  }
  expect([world.lines, world.back]).toEqual([['the embedded PostgreSQL cannot be started again: its port is taken'], 0]);
  await world.answer('restarted');
  expect([world.lines.length, world.back, world.env.clock.timers]).toEqual([2, 1, 0]);
});

it('is not started again once it is to stop', async () => {
  const world = revived();
  world.revival.revive();
  await world.answer(new Error('its port is taken'));
  world.revival.stop();
  expect(world.env.clock.timers).toBe(0);
  world.revival.revive();
  expect(world.answers).toHaveLength(1);
  const closed = revived();
  closed.revival.revive();
  await closed.answer(Object.assign(new Error('stopped'), { code: 'CLOSED' }));
  expect([closed.lines, closed.env.clock.timers]).toEqual([[], 0]);
});
