/** The examples are run as a reader would run them, and must print what they promise. Needs the build. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);

async function output(example: string): Promise<string> {
  const { stdout } = await run(process.execPath, [fileURLToPath(new URL(`../examples/${example}`, import.meta.url))]);
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
});
