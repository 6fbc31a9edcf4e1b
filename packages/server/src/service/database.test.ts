import { expect, it } from 'vitest';
import { reviveOnce } from './database.js';

it('a database that several pipelines want back is started, and told of, once', async () => {
  const answers: ((state: string) => void)[] = [];
  const lines: string[] = [];
  const revive = reviveOnce(() => new Promise((resolve) => answers.push(resolve)), {
    warn: (_: object, message: string) => void lines.push(message),
  });
  revive();
  revive();
  expect(answers).toHaveLength(1);
  answers[0]!('restarted');
  await expect.poll(() => lines).toEqual(['the embedded PostgreSQL had died and was started again.']);
  const asked = () => {
    revive();
    return answers.length;
  };
  await expect.poll(asked).toBe(2);
  answers[1]!('running');
  await expect.poll(asked).toBe(3);
  expect(lines).toHaveLength(1);
});
