/** place: where the server's files lie, and as whom it runs. */

import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
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
 * able to enter the data folder: its files go to a folder of their own, named by a hash of the data folder's path.
 */
export async function choosePlace(dataDir: string, system = systemFolder): Promise<Place> {
  if (process.getuid?.() !== 0) return placeIn(dataDir, dataDir, undefined);
  const account = unprivilegedAccount(await readFile('/etc/passwd', 'utf8'));
  const home = join(system, createHash('sha256').update(dataDir).digest('hex').slice(0, 16));
  try {
    await mkdir(home, { recursive: true });
    // Whatever our umask is: the server's user must be able to enter.
    await chmod(system, 0o755);
    await chown(home, account.uid, account.gid);
    await chmod(home, 0o700);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new SluiceError(
      `${system} cannot be written (${reason}), where the embedded PostgreSQL must live because it refuses to run as root; run as an ordinary user, or set DATABASE_URL.`,
      { code: 'POSTGRES_FILES', class: 'blocked', cause },
    );
  }
  return placeIn(home, system, account);
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
