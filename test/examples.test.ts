/** The examples are run as a reader would run them, and must print what they promise; each guide has its own. Needs the build. */

import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { usePostgres } from '../packages/server/test/support/postgres.js';

const run = promisify(execFile);

const root = fileURLToPath(new URL('../', import.meta.url));
const shown = new Set<string>();

async function output(example: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  shown.add(example);
  const { stdout } = await run(process.execPath, [`${root}examples/run.js`, example.replace(/\.ts$/, '')], {
    env: { ...process.env, ...env },
  });
  return stdout;
}

describe('examples', () => {
  it('reads.ts makes one call for three loads, and a missing key fails alone', async () => {
    expect(await output('reads.ts')).toBe(
      "one call for [ 1, 2 ]\n[ 'Ann', 'Bob', 'Ann' ]\none call for [ 1, 3 ]\nAnn · KEY_NOT_FOUND\n",
    );
  });

  it('writes.ts writes all good items and refuses the bad one alone', async () => {
    expect(await output('writes.ts')).toBe(
      "wrote [ 'c', 'd', 'e' ]\nwrote [ 'f' ]\nwrote [ 'a', 'b' ]\nrefused: the sink refuses \"bad\"\nok 6, failed 1, dropped 0\n",
    );
  });

  it('resilience.ts retries, parks the bad item alone, and writes it once it is accepted', async () => {
    expect(await output('resilience.ts')).toBe(
      "wrote [ 'a' ]\nwrote [ 'c' ]\n1 dead: REFUSED, the sink refuses …\n" +
        "wrote [ 'bad' ]\n{ matched: 1, redriven: 1, deadAgain: 0, failed: 0, left: 0 }\n",
    );
  });

  it('dead-letters.ts parks the record that is refused, shows it, and redrives it', async () => {
    expect(await output('dead-letters.ts')).toBe(
      'wrote e1\nwrote e3 e4\ne2 is dead\n1 × REFUSED: line <n>: the sink refuses <text>\n' +
        'billing/orders/0/1 holds {"n":2}, after 3 attempts, 3 of which failed\n' +
        'a dry run would send 1\n1 redriven\nwrote e2\n{ ok: 4, dead: 1, leftInLog: 0 }\n',
    );
  });

  it('simulation.ts compares three windows, and gives the same figures each time', async () => {
    expect(await output('simulation.ts')).toBe(
      [
        '5 ms: 5453 calls (182/s), p99 12 ms, broken promises: 0',
        '20 ms: 1464 calls (49/s), p99 28 ms, broken promises: 0',
        '80 ms: 373 calls (12/s), p99 94 ms, broken promises: 0',
        '',
      ].join('\n'),
    );
  });

  it('throttling.ts sends at most one query every 100 ms, the first of them at once', async () => {
    expect(await output('throttling.ts')).toBe(
      "10 ms: one query for [ 'ann' ]\n110 ms: one query for [ 'bob', 'cid' ]\n250 ms: one query for [ 'dan' ]\n" +
        "[ 'ANN', 'BOB', 'CID', 'DAN' ]\n",
    );
  });

  it('cancellation.ts tells who left, serves who stayed, and aborts a call that nobody waits for', async () => {
    const lines = (await output('cancellation.ts')).split('\n');
    // On a busy machine the window of 5 ms is over before who left is told.
    expect(lines.slice(0, 2).sort()).toEqual(['left: CANCELLED', 'one call for [ 1 ]']);
    expect(lines[2]).toBe('user 1');
    expect(lines.slice(3, 6).sort()).toEqual([
      'no answer in time: TIMEOUT unknown',
      'one call for [ 9 ]',
      'the call for 9 was aborted',
    ]);
    expect(lines.slice(6)).toEqual(['not sent: CANCELLED', "wrote [ 'a' ]", 'ok 1, cancelled 1', '']);
  });

  it('overload.ts answers full, lets one wait for room, and refuses where that was asked for', async () => {
    expect(await output('overload.ts')).toBe(
      "[ 'accepted', 'accepted', 'accepted', 'full' ]\nwaiting for room: 1\ne is in: there was room again\n" +
        '{ offered: 5, accepted: 4, rejected: 1, ok: 4 }\nrefused: OVERLOADED rejected\n' +
        '{ offered: 4, accepted: 3, rejected: 1, ok: 3 }\n',
    );
  });

  it('testing.ts moves two seconds in no time', async () => {
    expect(await output('testing.ts')).toBe('2080 ms in no time: 2 calls\n');
  });

  it('tenants.ts lets nobody wait for the one who floods, and gives more turns to who pays', async () => {
    expect(await output('tenants.ts')).toBe(
      [
        '0 ms: noisy-1',
        'noisy: accepted accepted accepted accepted accepted accepted full full',
        '10 ms: quiet-1',
        '20 ms: paying-1 paying-2',
        '30 ms: noisy-2 noisy-3',
        '40 ms: paying-3 paying-4',
        '50 ms: noisy-4 noisy-5',
        '60 ms: noisy-6',
        'ok 11, rejected 2',
        '',
      ].join('\n'),
    );
  });

  it('order.ts writes the bookings of each account in their order, though calls are lost and lanes are added', async () => {
    expect(await output('order.ts')).toBe('ok 18\nann 1 2 3 4 5 6\nbob 1 2 3 4 5 6\ncid 1 2 3 4 5 6\n');
  });

  it('moving-from-dataloader.ts shows both ways', async () => {
    expect(await output('moving-from-dataloader.ts')).toBe(
      [
        'DataLoader asks for [ 1, 3 ]',
        "{ id: 1, name: 'Ann' } no user 3",
        'createLoader asks for [ 1, 3 ]',
        "[ { id: 1, name: 'Ann' }, undefined ]",
        "{ id: 1, name: 'Ann' }",
        'createLoader asks for [ 3 ]',
        'KEY_NOT_FOUND 3',
        '',
      ].join('\n'),
    );
  });

  it('testing-your-sink.ts finds the sink that is not as atomic as it says', async () => {
    const lines = (await output('testing-your-sink.ts')).split('\n');
    expect(lines.filter((line) => line.startsWith('ok  '))).toHaveLength(12);
    expect(lines.filter((line) => !line.startsWith('ok  '))).toEqual([
      'FAIL writes nothing of a batch that fails, where it says that it is atomic ',
      '     the other side should have the items ; it has 0,1.',
      '',
    ]);
  });
});

describe('a guide', () => {
  it.each([
    ['reads', 'reads'],
    ['writes', 'writes'],
    ['throttling', 'throttling'],
    ['tenants-and-order', 'tenants'],
    ['tenants-and-order', 'order'],
    ['cancellation', 'cancellation'],
    ['overload', 'overload'],
    ['resilience', 'resilience'],
    ['simulation', 'simulation'],
    ['testing-your-sink', 'testing'],
    ['testing-your-sink', 'testing-your-sink'],
    ['moving-from-dataloader', 'moving-from-dataloader'],
  ])('%s leads to its example %s', (page, example) => {
    expect(readFileSync(`${root}docs/guide/${page}.md`, 'utf8')).toContain(`](../../examples/${example}.ts)`);
  });
});

describe('examples with a database', () => {
  const postgres = usePostgres();

  it('R-123: after-commit.ts loses the event of a process that dies, outbox.ts does not', async () => {
    const env = { DATABASE_URL: await postgres.freshDatabase() };
    expect(await output('after-commit.ts', env)).toBe('orders 3, events 1, dead letters 1, lost 1\n');
    expect(await output('outbox.ts', env)).toBe('orders 3, events 2, dead letters 1, lost 0\n');
  });

  it('R-93 to R-98: audit-log.ts writes what it accepts, and counts what it does not', async () => {
    const env = { DATABASE_URL: await postgres.freshDatabase(), PEAK: '1000', SECONDS: '1' };
    const [, counts] = (await output('audit-log.ts', env)).split('\n');
    expect(counts).toMatch(/^ok (\d+), in the table \1, refused for want of room \d+, failed 0, dead 0, dropped 0$/);
  });

  it('existing-table.ts skips what is there, and takes the bad row out with its reason', async () => {
    const env = { DATABASE_URL: await postgres.freshDatabase() };
    expect(await output('existing-table.ts', env)).toBe(
      [
        'ok',
        'PG_23514: PostgreSQL: new row for relation "requests" violates check constraint "requests_status_check" (COPY requests, line 2)',
        'ok',
        'ok',
        '200 { n: 1 }',
        '404 { n: 3 }',
        '',
      ].join('\n'),
    );
  });

  it.each(['after-commit', 'audit-log', 'existing-table', 'outbox'])(
    '%s says in one sentence that it needs one',
    async (name) => {
      await expect(output(`${name}.ts`, { DATABASE_URL: '' })).rejects.toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/^\S+ needs a PostgreSQL that it may write to: set DATABASE_URL, as in .+\n$/),
      });
      await expect(output(`${name}.ts`, { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' })).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/^\S+ could not use the PostgreSQL of DATABASE_URL: .*ECONNREFUSED.*\n$/),
      });
    },
  );

  it('are all shown here, those without a database too', () => {
    expect([...shown].sort()).toEqual(readdirSync(`${root}examples`).filter((file) => file.endsWith('.ts')));
  });
});
