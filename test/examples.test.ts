/** The examples are run as a reader would run them, and must print what they promise. Needs the build. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { usePostgres } from '../packages/server/test/support/postgres.js';

const run = promisify(execFile);

async function output(example: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const path = fileURLToPath(new URL(`../examples/${example}`, import.meta.url));
  const { stdout } = await run(process.execPath, [path], { env: { ...process.env, ...env } });
  return stdout;
}

describe('examples', () => {
  it('reads.js makes one call for three loads, and a missing key fails alone', async () => {
    expect(await output('reads.js')).toBe(
      "one call for [ 1, 2 ]\n[ 'Ann', 'Bob', 'Ann' ]\none call for [ 1, 3 ]\nAnn · KEY_NOT_FOUND\n",
    );
  });

  it('writes.js writes all good items and refuses the bad one alone', async () => {
    expect(await output('writes.js')).toBe(
      "wrote [ 'c', 'd', 'e' ]\nwrote [ 'f' ]\nwrote [ 'a', 'b' ]\nrefused: the sink refuses \"bad\"\nok 6, failed 1, dropped 0\n",
    );
  });

  it('resilience.js retries, parks the bad item alone, and writes it once it is accepted', async () => {
    expect(await output('resilience.js')).toBe(
      "wrote [ 'a' ]\nwrote [ 'c' ]\n1 dead: REFUSED, the sink refuses …\n" +
        "wrote [ 'bad' ]\n{ matched: 1, redriven: 1, deadAgain: 0, failed: 0, left: 0 }\n",
    );
  });

  it('simulation.js compares three windows, and gives the same figures each time', async () => {
    expect(await output('simulation.js')).toBe(
      [
        '5 ms: 5453 calls (182/s), p99 12 ms, broken promises: 0',
        '20 ms: 1464 calls (49/s), p99 28 ms, broken promises: 0',
        '80 ms: 373 calls (12/s), p99 94 ms, broken promises: 0',
        '',
      ].join('\n'),
    );
  });

  it('throttling.js sends at most one query every 100 ms, the first of them at once', async () => {
    expect(await output('throttling.js')).toBe(
      "10 ms: one query for [ 'ann' ]\n110 ms: one query for [ 'bob', 'cid' ]\n250 ms: one query for [ 'dan' ]\n" +
        "[ 'ANN', 'BOB', 'CID', 'DAN' ]\n",
    );
  });

  it('cancellation.js tells who left, serves who stayed, and aborts a call that nobody waits for', async () => {
    const lines = (await output('cancellation.js')).split('\n');
    expect(lines.slice(0, 3)).toEqual(['left: CANCELLED', 'one call for [ 1 ]', 'user 1']);
    expect(lines.slice(3, 6).sort()).toEqual([
      'no answer in time: TIMEOUT unknown',
      'one call for [ 9 ]',
      'the call for 9 was aborted',
    ]);
    expect(lines.slice(6)).toEqual(['not sent: CANCELLED', "wrote [ 'a' ]", 'ok 1, cancelled 1', '']);
  });

  it('overload.js answers full, lets one wait for room, and refuses where that was asked for', async () => {
    expect(await output('overload.js')).toBe(
      "[ 'accepted', 'accepted', 'accepted', 'full' ]\nwaiting for room: 1\ne is in: there was room again\n" +
        '{ offered: 5, accepted: 4, rejected: 1, ok: 4 }\nrefused: OVERLOADED rejected\n' +
        '{ offered: 4, accepted: 3, rejected: 1, ok: 3 }\n',
    );
  });

  it('testing.js moves two seconds in no time', async () => {
    expect(await output('testing.js')).toBe('2080 ms in no time: 2 calls\n');
  });
});

describe('examples with a database', () => {
  const postgres = usePostgres();

  it('R-123: after-commit.js loses the event of a process that dies, outbox.js does not', async () => {
    const env = { DATABASE_URL: await postgres.freshDatabase() };
    expect(await output('after-commit.js', env)).toBe('orders 3, events 1, dead letters 1, lost 1\n');
    expect(await output('outbox.js', env)).toBe('orders 3, events 2, dead letters 1, lost 0\n');
  });

  it('R-93 to R-98: audit-log.js writes what it accepts, and counts what it does not', async () => {
    const env = { DATABASE_URL: await postgres.freshDatabase(), PEAK: '1000', SECONDS: '1' };
    const [, counts] = (await output('audit-log.js', env)).split('\n');
    expect(counts).toMatch(/^ok (\d+), in the table \1, refused for want of room \d+, failed 0, dead 0, dropped 0$/);
  });
});
