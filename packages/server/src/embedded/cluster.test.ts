/** A data folder that exists already. */

import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ensureCluster } from './cluster.js';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'sluice-cluster-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

test('a start removes what earlier ones left half made, their password files too, although the data folder is whole', async () => {
  const cluster = join(home, 'postgres');
  await mkdir(cluster);
  await writeFile(join(cluster, 'PG_VERSION'), '18\n');
  const left = `${cluster}.making-${2 ** 31 - 1}-0a1b2c3d`;
  await mkdir(left);
  await writeFile(`${left}.password`, 'secret');
  for (const path of [left, `${left}.password`]) await utimes(path, 0, 0);
  const files = { passwordFile: join(cluster, 'p'), portFile: join(cluster, 'q'), logFile: join(cluster, 'l') };
  const place = { account: undefined, home, programsHome: home, cluster, ...files };
  await ensureCluster(place, { binDir: '/nowhere', major: 18 }, () => expect.unreachable());
  expect(await readdir(home)).toEqual(['postgres']);
});

/** The end of postgresql.conf as older versions wrote it. */
const oldSettings = `
# Sluice
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 50
shared_buffers = '128MB'
max_wal_size = '1GB'
timezone = 'UTC'
log_timezone = 'UTC'
`;

async function startOn(
  conf: string,
): Promise<{ readonly main: string; readonly ours: string; readonly files: readonly string[] }> {
  const cluster = join(home, 'postgres');
  await mkdir(cluster, { recursive: true });
  await writeFile(join(cluster, 'PG_VERSION'), '18\n');
  await writeFile(join(cluster, 'postgresql.conf'), conf);
  const files = { passwordFile: join(cluster, 'p'), portFile: join(cluster, 'q'), logFile: join(cluster, 'l') };
  const place = { account: undefined, home, programsHome: home, cluster, ...files };
  await ensureCluster(place, { binDir: '/nowhere', major: 18 }, () => expect.unreachable());
  const read = (name: string) => readFile(join(cluster, name), 'utf8');
  return { main: await read('postgresql.conf'), ours: await read('sluice.conf'), files: (await readdir(cluster)).sort() };
}

test('a folder of an older version takes our settings from a file of their own, ahead of what its owner has added', async () => {
  const own = "work_mem = '8MB'\nmax_wal_size = '9GB'\n";
  const first = await startOn(oldSettings + own);
  expect(first.main).toBe(
    (oldSettings + own).replace("shared_buffers = '128MB'\nmax_wal_size = '1GB'\n", "include_if_exists = 'sluice.conf'\n"),
  );
  expect(first.ours).toMatch(/^max_wal_size = /m);
  expect(first.files).toEqual(['PG_VERSION', 'postgresql.conf', 'sluice.conf']);
  expect(await startOn(first.main)).toEqual(first);
});

test('a configuration that its owner has changed there is left as it is', async () => {
  const changed = oldSettings.replace('1GB', '3GB');
  expect((await startOn(changed)).main).toBe(changed);
});
