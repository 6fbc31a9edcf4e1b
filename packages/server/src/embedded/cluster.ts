/** cluster: PostgreSQL's data folder, made once. */

import { randomBytes } from 'node:crypto';
import { appendFile, chown, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SluiceError } from 'sluice';
import type { Programs } from './binaries.js';
import { publishFolder, removeAbandoned, temporaryName } from './folders.js';
import type { Place } from './place.js';
import { run } from './program.js';
import { initialSettings, refreshSettings } from './settings.js';

/** The superuser and the database that we use. */
export const userName = 'sluice';

/**
 * Makes the data folder when it is absent, under a temporary name first: a crash in the middle leaves nothing that a later start
 * would take for a whole one.
 *
 * @throws SluiceError `POSTGRES_INIT`; `POSTGRES_FILES` when the folder is of another version.
 */
export async function ensureCluster(place: Place, programs: Programs, log: (line: string) => void): Promise<void> {
  await removeAbandoned(place.cluster);
  const version = await readFile(join(place.cluster, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (version !== undefined) {
    checkVersion(place, programs, version.trim());
    return refreshSettings(place).catch((thrown: unknown) => {
      throw unwritable(place, thrown);
    });
  }
  log(`creating a PostgreSQL ${programs.major} database in ${place.cluster}`);
  const made = temporaryName(place.cluster);
  const passwordFile = `${made}.password`;
  try {
    await writeFile(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600, flush: true });
    if (place.account !== undefined) await chown(passwordFile, place.account.uid, place.account.gid);
    await initialise(made, passwordFile, place, programs);
    await rename(passwordFile, join(made, basename(place.passwordFile)));
    await publishFolder(made, place.cluster);
  } catch (thrown) {
    if (thrown instanceof SluiceError) throw thrown;
    throw initFailure(place.cluster, thrown instanceof Error ? thrown.message : String(thrown), thrown);
  } finally {
    await rm(passwordFile, { force: true });
    await rm(made, { recursive: true, force: true });
  }
}

function checkVersion(place: Place, programs: Programs, version: string): void {
  if (version === String(programs.major)) return;
  throw new SluiceError(
    `${place.cluster} is data of PostgreSQL ${version}, but the programs here are of ${programs.major}; move it away to start afresh, or set DATABASE_URL.`,
    { code: 'POSTGRES_FILES', class: 'blocked' },
  );
}

async function initialise(folder: string, passwordFile: string, place: Place, programs: Programs): Promise<void> {
  const { code, output } = await run(
    join(programs.binDir, 'initdb'),
    [
      '-D',
      folder,
      '-U',
      userName,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      ...localeArguments(programs.major),
    ],
    { account: place.account, cwd: place.home },
  );
  if (code !== 0) throw initFailure(place.cluster, tail(output));
  await appendFile(join(folder, 'postgresql.conf'), initialSettings);
  await refreshSettings({ cluster: folder, account: place.account });
}

/**
 * Text sorts by code point on every machine, independent of its locales: an index stays right when the operating system is upgraded
 * or the folder is moved. From 17 on with the case rules of Unicode, built into PostgreSQL.
 */
function localeArguments(major: number): readonly string[] {
  return major >= 17 ? ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : ['--locale=C'];
}

function unwritable({ cluster }: Place, cause: unknown): SluiceError {
  const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
  return new SluiceError(
    `The settings in ${cluster} cannot be written (${reason}); choose another data folder, or repair that one.`,
    {
      code: 'POSTGRES_FILES',
      class: 'blocked',
      cause,
    },
  );
}

function initFailure(cluster: string, reason: string, cause?: unknown): SluiceError {
  return new SluiceError(`The database in ${cluster} cannot be created: ${reason}`, {
    code: 'POSTGRES_INIT',
    class: 'blocked',
    cause,
  });
}

/** The last lines of a program's output, as one. */
export function tail(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return lines.length === 0 ? 'it wrote nothing' : lines.slice(-5).join(' | ').slice(-600);
}
