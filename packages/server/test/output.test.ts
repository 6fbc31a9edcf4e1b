/** Output that nobody takes: the built command, with a full disk or a closed pipe behind what it prints. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const program = fileURLToPath(new URL('../bin/sluice.js', import.meta.url));

test.skipIf(!existsSync('/dev/full'))(
  'a full disk under the output is one sentence and a failure, and no stack trace',
  async () => {
    const full = openSync('/dev/full', 'w');
    try {
      const child = spawn(process.execPath, [program, '--help'], { stdio: ['ignore', full, 'pipe'] });
      const [said, [code]] = await Promise.all([text(child.stderr!), once(child, 'exit')]);
      expect([code, said]).toEqual([1, expect.stringMatching(/^sluice: the output cannot be written: ENOSPC[^\n]*\.\n$/)]);
    } finally {
      closeSync(full);
    }
  },
);

test('a command whose standard error is closed does its work, and its exit code says how that went', async () => {
  const child = spawn(process.execPath, [program, 'push', 'events', 'no-such-file'], { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr!.destroy();
  expect(await once(child, 'exit')).toEqual([2, null]);
});
