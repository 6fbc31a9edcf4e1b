import { afterEach, expect, test, vi } from 'vitest';
import { terminal } from '../test/support/printed.js';
import { run } from './cli.js';

afterEach(() => {
  vi.unstubAllEnvs();
});

async function sluice(...args: string[]) {
  const io = terminal();
  const code = await run(args, io);
  return { code, text: io.printed.all };
}

const commands = [
  ...[
    '',
    'up',
    'check',
    'key',
    'push',
    'tail',
    'streams',
    'lag',
    'reload',
    'drain',
    'load',
    'backend',
    'pipelines',
    'dlq',
    'log',
  ],
  ...['ls', 'show', 'pause', 'resume', 'seek', 'skip-damage'].map((name) => `pipelines ${name}`),
  ...['ls', 'groups', 'show', 'redrive', 'purge'].map((name) => `dlq ${name}`),
  ...['', 'ls', 'show', 'cancel'].map((name) => `dlq jobs ${name}`),
  ...['', 'ls', 'letters', 'redrive', 'purge'].map((name) => `outboxes ${name}`),
];

test.each(commands.map((command) => [...command.split(' ').filter((word) => word !== ''), '--help']))(
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
  expect([code, text]).toEqual([2, expect.stringContaining("unknown command 'pusch'.\n(Did you mean push?)\n")]);
});

test.each([
  ['outboxes', 'frob', 'ls, letters, redrive, purge'],
  ['dlq jobs', 'frob', 'ls, show, cancel'],
  ['pipelines', 'stop', 'ls, show, pause, resume, seek, skip-damage'],
  ['dlq', 'frob --json', 'ls, groups, show, redrive, jobs, purge'],
  ['log', 'frob', 'verify, ls, show, tail'],
])('an unknown command of %s is a wrong call, with those that there are', async (group, words, known) => {
  const { code, text } = await sluice(...group.split(' '), ...words.split(' '));
  const first = `error: unknown command '${words.split(' ')[0]}'; there are ${known}.`;
  expect([code, text.split('\n')[0]]).toEqual([2, first]);
});

test('an unknown command of a group comes with a suggestion; an argument too many of a known one stays one', async () => {
  expect((await sluice('outboxes', 'leters')).text).toContain('\n(Did you mean letters?)\n');
  expect((await sluice('dlq', 'jobs', 'ls', 'frob')).text).toMatch(/^error: too many arguments for 'ls'/);
});

test.each([
  [['--port', '8o80'], 'Expected a port from 0 to 65535, in digits.'],
  [['--control-port', '65536'], 'Expected a port from 0 to 65535'],
  [['--deadline', 'soon'], 'Expected seconds from 0 to 86400.'],
  [['--read-upstream', 'foo'], 'expected --read-upstream to be an http or https address such as'],
  [['--read-upstream', 'localhost:9000'], 'without a user name; got "localhost:9000".\n'],
])('up %j is a wrong call', async (args, sentence) => {
  const { code, text } = await sluice('up', ...args);
  expect([code, text]).toEqual([2, expect.stringContaining(sentence)]);
});

test.each(['--nonsense', '--read-upstream=http://me:s3cret@host', '--read-upstream=ftp://s3cret@host'])(
  'up %s is one sentence with a full stop, and prints no password',
  async (flag) => {
    const { code, text } = await sluice('up', flag);
    expect([code, text]).toEqual([2, expect.stringMatching(/[^.]\.\n/)]);
    expect(text).not.toContain('s3cret');
  },
);

test.each(['mysql://me:s3cret@db/app', 'me:s3cret@db/app', 'postgres:me:s3cret', 'postgres://me:s3cret#1@db/app'])(
  'up with a DATABASE_URL that is none is a wrong call, and prints no password',
  async (url) => {
    vi.stubEnv('DATABASE_URL', url);
    const { code, text } = await sluice('up');
    expect([code, text]).toEqual([2, expect.stringMatching(/^sluice up: expected DATABASE_URL to be .*\.\n$/)]);
    expect(text).not.toContain('s3cret');
  },
);

test.each([
  ['this file does not exist', 'none.yaml'],
  ['expected a file that ends in .ts, .js, .yaml or .json', 'README.md'],
])('up and check of a configuration that cannot be read are wrong calls: %s', async (sentence, file) => {
  for (const args of [
    ['up', '--config', file],
    ['check', file],
  ])
    expect(await sluice(...args)).toEqual({ code: 2, text: expect.stringContaining(`${file}: ${sentence}`) });
});
