import { expect, test } from 'vitest';
import { terminal } from '../test/support/printed.js';
import { run } from './cli.js';

async function sluice(...args: string[]) {
  const io = terminal();
  const code = await run(args, io);
  return { code, text: io.printed.all };
}

test.each([['--help'], ['up', '--help'], ['push', '--help'], ['backend', '--help']])(
  'sluice %s shows examples and exit codes',
  async (...args) => {
    const { code, text } = await sluice(...args);
    expect(code).toBe(0);
    expect(text).toMatch(/Examples:\n[\s\S]*Exit codes:/);
  },
);

test('the version is that of the package', async () => {
  expect(await sluice('--version')).toEqual({ code: 0, text: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
});

test('an unknown command is a wrong call, with a suggestion', async () => {
  const { code, text } = await sluice('pusch');
  expect([code, text]).toEqual([2, expect.stringContaining('Did you mean push?')]);
});

test.each([
  [['--port', '8o80'], 'Expected a port from 0 to 65535, in digits.'],
  [['--control-port', '65536'], 'Expected a port from 0 to 65535'],
  [['--deadline', 'soon'], 'Expected seconds from 0 to 86400.'],
])('up %j is a wrong call', async (args, sentence) => {
  const { code, text } = await sluice('up', ...args);
  expect([code, text]).toEqual([2, expect.stringContaining(sentence)]);
});
