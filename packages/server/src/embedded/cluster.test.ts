/** A data folder that exists already. */

import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
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
