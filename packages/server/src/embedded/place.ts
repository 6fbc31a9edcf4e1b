/** place: where the server's files lie, and as whom it runs. */

import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SluiceError } from 'sluice';

/** A user of the system. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Where one server lives. */
export interface Place {
  /** As whom it runs; absent: as we do. */
  readonly account: Account | undefined;
  /** Folder that holds everything of this server. */
  readonly home: string;
  /** Folder for programs that had to be copied. */
  readonly programsHome: string;
  /** PostgreSQL's data folder, in `home`. */
  readonly cluster: string;
  /** The password, readable by the server's user alone. */
  readonly passwordFile: string;
  /** The port of the last start. */
  readonly portFile: string;
  /** The server's own log. */
  readonly logFile: string;
}

/** Where the files of servers go that root starts. */
export const systemFolder = '/var/lib/sluice';

/**
 * The place of a data folder's server.
 *
 * An ordinary user's server lives in the data folder. PostgreSQL refuses to run as root, and the user it then runs as may not be
 * able to enter the data folder: its files go to a folder of their own, whose name is kept in the data folder. So the database
 * follows a data folder that is moved, and one that was removed and made anew starts with an empty database, as its log does.
 *
 * @throws SluiceError `POSTGRES_FILES` when a folder cannot be written, or when the data folder is a copy of another.
 */
export async function choosePlace(dataDir: string, system = systemFolder): Promise<Place> {
  if (process.getuid?.() !== 0) return placeIn(dataDir, dataDir, undefined);
  const account = unprivilegedAccount(await readFile('/etc/passwd', 'utf8'));
  const home = join(system, await homeName(dataDir));
  await refuseCopy(dataDir, home);
  try {
    await mkdir(home, { recursive: true });
    // Whatever our umask is: the server's user must be able to enter.
    await chmod(system, 0o755);
    await chown(home, account.uid, account.gid);
    await chmod(home, 0o700);
    // For who finds the folder: its name does not say whose it is.
    await writeFile(join(home, 'data-folder.txt'), `${dataDir}\n`);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new SluiceError(
      `${system} cannot be written (${reason}), where the embedded PostgreSQL must live because it refuses to run as root; run as an ordinary user, or set DATABASE_URL.`,
      { code: 'POSTGRES_FILES', class: 'blocked', cause },
    );
  }
  return placeIn(home, system, account);
}

const nameFile = 'postgres.id';

async function homeName(dataDir: string): Promise<string> {
  const path = join(dataDir, nameFile);
  const known = await readName(path);
  if (known !== undefined) return known;
  const name = randomBytes(8).toString('hex');
  try {
    await writeFile(path, `${name}\n`, { flag: 'wx', mode: 0o600, flush: true });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new SluiceError(`${path} cannot be written (${code}); choose another data folder, or repair that file.`, {
      code: 'POSTGRES_FILES',
      class: 'blocked',
      cause,
    });
  }
  return name;
}

async function readName(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return /^[0-9a-f]{16}\n$/.test(text) ? text.trim() : undefined;
}

/** A copied data folder names the same database: two services would write to one, and each believe that it is its own. */
async function refuseCopy(dataDir: string, home: string): Promise<void> {
  const owner = (await readFile(join(home, 'data-folder.txt'), 'utf8').catch(() => '')).trimEnd();
  if (owner === '' || owner === dataDir || (await readName(join(owner, nameFile))) !== basename(home)) return;
  throw new SluiceError(
    `${dataDir} is a copy of ${owner}, and names the same database; remove ${join(dataDir, nameFile)} to give the copy a database of its own.`,
    { code: 'POSTGRES_FILES', class: 'blocked' },
  );
}

/** The user to run as instead of root: `postgres` where it exists, else `nobody`. */
export function unprivilegedAccount(passwd: string): Account {
  for (const name of ['postgres', 'nobody']) {
    const fields = passwd
      .split('\n')
      .map((line) => line.split(':'))
      .find(([user]) => user === name);
    const uid = Number(fields?.[2]);
    const gid = Number(fields?.[3]);
    if (uid > 0 && gid > 0) return { name, uid, gid };
  }
  throw new SluiceError(
    'PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody to run it as; create one, run as an ordinary user, or set DATABASE_URL.',
    { code: 'POSTGRES_UNSUPPORTED', class: 'blocked' },
  );
}

function placeIn(home: string, programsHome: string, account: Account | undefined): Place {
  const cluster = join(home, 'postgres');
  return {
    account,
    home,
    programsHome,
    cluster,
    passwordFile: join(cluster, 'sluice.password'),
    portFile: join(cluster, 'sluice.port'),
    logFile: join(cluster, 'server.log'),
  };
}
