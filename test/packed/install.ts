/** Install: the packages as npm packs them, installed in a project outside of this checkout. Needs the build, and no network. */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/** The tarballs of both packages. */
export interface Tarballs {
  readonly sluice: string;
  readonly server: string;
}

/** Of a manifest, what the tests ask for. */
export interface Manifest {
  readonly exports: Record<string, unknown>;
  readonly bin?: Record<string, string>;
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}

/** Packs both packages into a folder. */
export async function packBoth(folder: string): Promise<Tarballs> {
  const [sluice, server] = await Promise.all([pack('sluice', folder), pack('server', folder)]);
  return { sluice, server };
}

/** An empty project. */
export async function emptyProject(folder: string): Promise<void> {
  await mkdir(join(folder, 'node_modules'), { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
}

/** Installs both packages in a project, with everything that the server depends on, and `others` of this checkout's packages. */
export async function installBoth(folder: string, { sluice, server }: Tarballs, others: readonly string[] = []): Promise<void> {
  await emptyProject(folder);
  await unpack(sluice, join(folder, 'node_modules/sluice'));
  await unpack(server, join(folder, 'node_modules/@sluice/server'));
  const { dependencies = {}, optionalDependencies = {}, bin = {} } = await manifestOf('server');
  const ours = Object.keys(dependencies).filter((name) => name !== 'sluice');
  const ofThisPlatform = Object.keys(optionalDependencies).filter((name) => existsSync(join(root, 'node_modules', name)));
  for (const name of new Set([...ours, ...ofThisPlatform, ...others])) await link(name, folder);
  await mkdir(join(folder, 'node_modules/.bin'), { recursive: true });
  for (const [name, path] of Object.entries(bin))
    await symlink(join('../@sluice/server', path), join(folder, 'node_modules/.bin', name));
}

/** The manifest of a package of this checkout. */
export async function manifestOf(name: 'sluice' | 'server'): Promise<Manifest> {
  return JSON.parse(await readFile(join(root, 'packages', name, 'package.json'), 'utf8')) as Manifest;
}

/** Runs npm; what it prints. */
export async function npm(args: readonly string[], cwd: string): Promise<string> {
  // A test run by `npm test` inherits the outer npm's settings, such as its workspace.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));
  const { stdout } = await run('npm', [...args], { cwd, env, shell: process.platform === 'win32' });
  return stdout;
}

/** All files beneath a folder, with slashes. */
export async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll('\\', '/'),
    );
}

/** Without the manifest's own scripts: those build anew, under the feet of the other tests. */
async function pack(name: string, folder: string): Promise<string> {
  const cwd = join(root, 'packages', name);
  if (!existsSync(join(cwd, 'dist'))) throw new Error(`${name} is not built: run npm run build first`);
  const stdout = await npm(['pack', '--ignore-scripts', '--json', '--pack-destination', folder], cwd);
  const answer = JSON.parse(stdout) as readonly { filename: string }[] | Record<string, { filename: string }>;
  return join(folder, Object.values(answer)[0]!.filename);
}

async function unpack(tarball: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await run('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1']);
}

async function link(name: string, folder: string): Promise<void> {
  const target = join(folder, 'node_modules', name);
  await mkdir(dirname(target), { recursive: true });
  await symlink(join(root, 'node_modules', name), target, 'junction');
}
