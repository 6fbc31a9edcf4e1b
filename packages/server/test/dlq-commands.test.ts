/** `sluice dlq` against a service in this process, whose handler gives events up until it is told not to. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { redrive } from '../src/commands/dlq/redrive.js';
import { terminal } from './support/printed.js';
import { useRunning } from './support/running.js';

const world = useRunning();

/** Gives up odd events, while there is no file `mended`. */
const handler = `
import { existsSync } from 'node:fs';
import { join } from 'node:path';
export default (events) => events.map(({ id }) =>
  Number(id) % 2 === 0 || existsSync(join(import.meta.dirname, 'mended')) ? 'ack' : { verdict: 'dead', reason: 'odd \\u001b[31m' });
`;

beforeEach(async () => {
  world.write('handler.mjs', handler);
  await world.start(
    'pipelines: { p: { stream: events, sink: { type: module, handler: ./handler.mjs }, window: { maxDelayMs: 5 } } }',
  );
});

async function parked(count: number): Promise<void> {
  await world.post(Array.from({ length: 2 * count }, (_, i) => i));
  await expect.poll(async () => (await letters()).length).toBe(count);
}

async function letters(...args: string[]) {
  const { out } = await world.control('dlq', 'ls', '--json', '--limit', '100000', ...args);
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

describe('dlq ls, groups and show', () => {
  it('list letters by filter, without payloads unless asked for', async () => {
    expect((await world.control('dlq', 'ls')).out).toBe('There are no such dead letters.\n');
    await parked(3);
    expect((await letters()).map(({ record }) => record)).toMatchObject(
      [1, 3, 5].map((n) => ({ id: String(n), payloadBytes: 16 })),
    );
    expect(JSON.stringify(await letters())).not.toContain('"payload"');
    expect((await letters('--payload'))[0].record.payload).toBe('{"id":"1","n":1}');
    expect(await letters('--stream', 'other')).toEqual([]);
    expect(await letters('--id', 'p/events/0/3', '--id', 'p/events/0/5', '--state', 'parked')).toHaveLength(2);
    const { out, err } = await world.control('dlq', 'ls', '--limit', '2');
    expect(out.trimEnd().split('\n')).toHaveLength(3);
    expect(err).toBe('sluice dlq: these are the first 2 letters; there are more, see --limit.\n');
  });

  it('pages through more letters than one answer holds', async () => {
    await parked(1_200);
    expect(await letters()).toHaveLength(1_200);
    expect(await letters('--limit', '501')).toHaveLength(501);
  });

  it('count by what they failed with, and show one, with nothing that a terminal acts on', async () => {
    await parked(3);
    const { out } = await world.control('dlq', 'groups');
    expect(out.split('\n')[1]).toMatch(
      /^ +3 +\S+ \S+ +p +events +HANDLER_DEAD +\S+ +p\/events\/0\/\d +the handler gave it up: odd/,
    );
    const shown = await world.control('dlq', 'show', 'p/events/0/1');
    expect(shown.out).toMatch(
      /^event +1$[\s\S]*^code +HANDLER_DEAD \(permanent\)$[\s\S]*^payload +16 bytes; --payload prints them$/m,
    );
    expect(`${out}${shown.out}`).not.toContain('\u001b');
    expect((await world.control('dlq', 'show', 'p/events/0/1', '--payload')).out).toMatch(/^payload +\{"id":"1","n":1\}$/m);
    expect((await world.control('dlq', 'show', 'p/events/0/2')).code).toBe(1);
    expect((await world.control('dlq', 'show', 'nonsense')).code).toBe(2);
  });

  it.each([[['--state', 'gone']], [['--parked-from', 'monday']], [['--nonsense']]])('%j is a wrong call', async (args) => {
    expect((await world.control('dlq', 'ls', ...args)).code).toBe(2);
  });
});

describe('dlq redrive', () => {
  it('counts first, sends a few, then the rest, and the letters are gone to the sink', async () => {
    await parked(5);
    expect((await world.control('dlq', 'redrive', '--dry-run')).out).toBe('5 letters would be sent again.\n');
    world.write('mended', '');
    expect(await world.control('dlq', 'redrive', '--limit', '2', '--per-second', '1000')).toEqual({
      code: 0,
      out: '2 of 2 letters sent again.\nThey are letters again if they fail once more; see `sluice dlq ls`.\n',
      err: '',
    });
    const rest = await world.control('dlq', 'redrive', '--json', '--per-second', '1000');
    expect([rest.code, JSON.parse(rest.out)]).toEqual([0, expect.objectContaining({ state: 'done', redriven: 3, left: 0 })]);
    await expect.poll(async () => JSON.parse((await world.control('lag', '--json')).out).groups[0].lag.items).toBe(0);
    expect(await letters('--state', 'redriven')).toHaveLength(5);
    expect((await world.control('dlq', 'redrive')).out).toBe('There are no such dead letters; nothing was sent.\n');
    expect(existsSync(join(world.folder, 'mended'))).toBe(true);
  });

  it('is told by the groups, which count what was sent again until it is purged', async () => {
    await parked(3);
    world.write('mended', '');
    expect((await world.control('dlq', 'groups')).err).toBe('');
    await world.control('dlq', 'redrive', '--limit', '2', '--per-second', '1000');
    const { out, err } = await world.control('dlq', 'groups');
    expect(out.split('\n')[1]).toMatch(/^ +3 /);
    expect(err).toBe('sluice dlq: sent again already: 2 letters of these; --state parked leaves them out.\n');
    const left = await world.control('dlq', 'groups', '--state', 'parked');
    expect([left.out.split('\n')[1], left.err]).toEqual([expect.stringMatching(/^ +1 /), '']);
    expect((await world.control('dlq', 'groups', '--json')).err).toBe('');
  });

  it('into another stream leaves the first alone', async () => {
    await parked(2);
    expect(await world.control('dlq', 'redrive', '--target', 'agian')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no stream of the name'),
    });
    await world.service.log.defineStream('again');
    await world.control('dlq', 'redrive', '--target', 'again');
    const { streams } = JSON.parse((await world.control('streams', '--json')).out);
    expect(streams).toMatchObject([
      { stream: 'again', nextOffset: 2 },
      { stream: 'events', nextOffset: 4 },
    ]);
  });

  it('is cancelled by an interrupt, and says how far it came', async () => {
    await parked(30);
    const interrupt = new AbortController();
    const io = { ...terminal(), stderr: { isTTY: true, write: (text: string) => /\[#+/.test(text) && interrupt.abort() } };
    const code = await redrive({ control: world.service.controlUrl, perSecond: 10, io, signal: interrupt.signal });
    expect(code).toBe(1);
    const [, sent, left] = /^Cancelled: (\d+) of 30 letters sent again, (\d+) not sent: they stay parked\.\n$/.exec(
      io.printed.out,
    )!;
    expect(Number(sent) + Number(left)).toBe(30);
    expect(Number(sent)).toBeGreaterThan(0);
    expect(Number(left)).toBeGreaterThan(0);
    expect(await letters('--state', 'redriven')).toHaveLength(Number(sent));
  });
});

describe('dlq jobs', () => {
  it('lists the redrives, shows one, and cancels one that runs', async () => {
    expect((await world.control('dlq', 'jobs')).out).toBe('There were no redrives since the start of the service.\n');
    await parked(30);
    await world.control('dlq', 'redrive', '--dry-run', '--stream', 'events');
    const slow = await fetch(`${world.service.controlUrl}/v1/redrives?code=HANDLER_DEAD&perSecond=1`, { method: 'POST' });
    expect(await slow.json()).toMatchObject({ id: '2', state: 'running' });
    const { out } = await world.control('dlq', 'jobs');
    expect(out.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^JOB +STATE +STARTED +LETTERS +SENT +LEFT +WHICH$/),
      expect.stringMatching(/^1 +done \(dry run\) +\S+Z +30 +0 +30 +stream=events$/),
      expect.stringMatching(/^2 +running +\S+Z +\d+ +\d+ +\d+ +code=HANDLER_DEAD$/),
    ]);
    expect((await world.control('dlq', 'jobs', 'show', '2')).out).toMatch(
      /^Running: \d+ of \d+ letters sent again, \d+ to go\.\n$/,
    );
    const cancelled = await world.control('dlq', 'jobs', 'cancel', '2', '--json');
    expect([cancelled.code, JSON.parse(cancelled.out)]).toEqual([0, expect.objectContaining({ id: '2', state: 'cancelled' })]);
    const { redrives } = JSON.parse((await world.control('dlq', 'jobs', 'ls', '--json')).out);
    expect(redrives).toMatchObject([
      { state: 'done', dryRun: true },
      { state: 'cancelled', filter: { code: 'HANDLER_DEAD' } },
    ]);
    expect(await world.control('dlq', 'jobs', 'cancel', '7')).toMatchObject({
      code: 1,
      err: expect.stringContaining('there is no redrive of this id'),
    });
  });
});

describe('dlq purge', () => {
  it('counts without --yes, removes with it, and wants a filter or --all', async () => {
    await parked(4);
    expect((await world.control('dlq', 'purge')).err).toContain('say which letters, or --all');
    expect((await world.control('dlq', 'purge', '--all', '--code', 'X', '--yes')).code).toBe(2);
    expect(await world.control('dlq', 'purge', '--code', 'HANDLER_DEAD')).toEqual({
      code: 2,
      out: '4 letters would be removed.\n',
      err: 'sluice dlq: nothing was removed; add --yes to remove them for good.\n',
    });
    expect(await world.control('dlq', 'purge', '--all', '--dry-run', '--yes')).toMatchObject({
      code: 0,
      out: '4 letters would be removed.\n',
    });
    expect(await world.control('dlq', 'purge', '--id', 'p/events/0/1', '--yes')).toMatchObject({
      code: 0,
      out: '1 letter removed.\n',
    });
    expect(JSON.parse((await world.control('dlq', 'purge', '--all', '--yes', '--json')).out)).toEqual({ matching: 3, purged: 3 });
    expect(await letters()).toEqual([]);
  });
});
