/** A server that is gone, and whose process id something else has by now. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { keepRunning } from './running.js';

test('kill leaves alone another process that has the id of the server, and never throws', async () => {
  const home = await mkdtemp(join(tmpdir(), 'sluice-running-'));
  const other = spawn(process.execPath, ['-e', 'process.stdin.once("data", () => process.exit(7)); console.log("ready")']);
  try {
    await once(other.stdout, 'data');
    const cluster = join(home, 'postgres');
    const files = { passwordFile: join(home, 'p'), portFile: join(home, 'q'), logFile: join(home, 'l') };
    const place = { account: undefined, home, programsHome: home, cluster, ...files };
    const programs = { binDir: '/nowhere', major: 18 };
    for (const pid of [other.pid!, 2 ** 31 - 1]) {
      const server = keepRunning({ pid, port: 1, ready: true }, { place, programs, password: '', log: () => {} });
      server.kill();
      await expect(server.ensureRunning()).rejects.toMatchObject({ code: 'CLOSED' });
      await server.stop({ deadlineMs: 0 });
    }
    other.stdin.write('end');
    expect(await once(other, 'exit')).toEqual([7, null]);
  } finally {
    other.kill('SIGKILL');
    await rm(home, { recursive: true, force: true });
  }
});
