/** A real PgBouncer in front of a test's server: few server sessions, each lent by transaction to whoever asks next. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../src/embedded/port.js';
import type { EmbeddedPostgres } from '../../src/embedded/postgres.js';

const program = '/usr/sbin/pgbouncer';

/** PgBouncer is absent and need not be there: tests of it may skip. */
export const skipPgBouncer = !existsSync(program) && process.env.SLUICE_REQUIRE_TOOLS !== '1';

/** A pooler that runs. */
export interface PgBouncer {
  /** The same database, through the pooler. */
  readonly connectionString: string;
  stop(): Promise<void>;
}

/** Starts it, as the server's user, in front of a database of `server`, with so many server sessions. */
export async function startPgBouncer(
  server: EmbeddedPostgres,
  connectionString: string,
  options: { readonly mode: 'transaction' | 'statement'; readonly sessions: number },
): Promise<PgBouncer> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-pgbouncer-'));
  // It refuses to run as root, as the server does.
  const { uid, gid } = statSync(join(server.directory, 'PG_VERSION'));
  const url = new URL(connectionString);
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  try {
    for (let tries = 1; ; tries++) {
      const port = await freePort();
      await writeFile(join(folder, 'pgbouncer.ini'), settings(url, port, folder, options));
      await writeFile(
        join(folder, 'users.txt'),
        `"${decodeURIComponent(url.username)}" "${decodeURIComponent(url.password)}"\n`,
        { mode: 0o600 },
      );
      for (const file of ['', 'pgbouncer.ini', 'users.txt']) await chown(join(folder, file), uid, gid);
      await chmod(folder, 0o700);
      const asUser = process.getuid?.() === 0 ? { uid, gid } : {};
      const child = spawn(program, [join(folder, 'pgbouncer.ini')], {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'pipe'],
        ...asUser,
      });
      const said = await untilUp(child);
      if (said !== undefined && tries < 5 && /listen|bind|Address already in use/i.test(said)) continue;
      if (said !== undefined) throw new Error(`PgBouncer does not start: ${said}`);
      url.port = String(port);
      return {
        connectionString: url.href,
        async stop() {
          if (child.exitCode === null && child.signalCode === null) {
            const gone = once(child, 'exit');
            child.kill('SIGTERM');
            await gone;
          }
          await removeFolder();
        },
      };
    }
  } catch (thrown) {
    await removeFolder();
    throw thrown;
  }
}

function settings(url: URL, port: number, folder: string, options: { readonly mode: string; readonly sessions: number }): string {
  return `[databases]
${url.pathname.slice(1)} = host=${url.hostname} port=${url.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, 'users.txt')}
pool_mode = ${options.mode}
default_pool_size = ${options.sessions}
max_client_conn = 100
; Each transaction gets another session than the one before.
server_round_robin = 1
`;
}

/** Nothing once it listens; what it said, if it ended before. */
function untilUp(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    let said = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('process up')) resolve(undefined);
    });
    child.once('error', (error) => resolve(error.message));
    child.once('close', () => resolve(said === '' ? 'it said nothing' : said));
  });
}
