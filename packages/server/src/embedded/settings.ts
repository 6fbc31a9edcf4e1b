/** settings: what a server of ours is told beyond PostgreSQL's defaults; durability is at those. */

import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryName } from './folders.js';
import type { Place } from './place.js';

const fileName = 'sluice.conf';

/**
 * How the server works, not what it may: written anew at each start, so that a folder of an older version has it too. It is included,
 * and what comes after it counts more: a line at the end of postgresql.conf, and ALTER SYSTEM.
 *
 * The log of the service lies on the same disk, and waits for what PostgreSQL has the disk do. Measured on ext4 while 50,000 rows a
 * second were written for a minute, twice, beside a process that synced 64 KiB every 5 ms:
 *
 * - `max_wal_size`: with 1 GB the second minute had two checkpoints, and after each the pages that are touched go into the WAL whole:
 *   1,290 MiB of it, against 890 without a checkpoint. 3 GB is one in about 100 s at that rate. More would be a longer
 *   recovery: 2,000 MiB of WAL took 18 s.
 * - `wal_init_zero`: a new file of WAL is not filled with zeros first, which writes everything twice until files are reused. 97 and 58
 *   syncs of the other process took more than 25 ms, against 173 and 95. Nothing is less durable: a commit waits for its WAL either way.
 *
 * Without effect beyond the noise were `backend_flush_after` and a busier background writer.
 */
const working = `# Written by Sluice at each start. Change settings at the end of postgresql.conf, or by ALTER SYSTEM.
shared_buffers = '128MB'
max_wal_size = '3GB'
wal_init_zero = off
`;

/** What to append to the postgresql.conf of a new cluster. The port is given at each start. fsync stays on. */
export const initialSettings = `
# Sluice
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 50
include_if_exists = '${fileName}'
timezone = 'UTC'
log_timezone = 'UTC'
# A statement may hold data; it stays out of the log.
log_min_error_statement = 'panic'
log_error_verbosity = 'terse'
`;

/** What stood where the include is now. */
const before = `max_connections = 50
shared_buffers = '128MB'
max_wal_size = '1GB'
timezone`;

/** Brings the settings of a cluster up to date, for its next start. A postgresql.conf that somebody has changed there is left alone. */
export async function refreshSettings({ cluster, account }: Pick<Place, 'cluster' | 'account'>): Promise<void> {
  const replace = async (name: string, text: string) => {
    const made = temporaryName(join(cluster, name));
    try {
      // By its handle: the folder is that account's, which could put something else in its place meanwhile.
      const file = await open(made, 'wx', 0o600);
      try {
        await file.writeFile(text);
        if (account !== undefined) await file.chown(account.uid, account.gid);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(made, join(cluster, name));
    } finally {
      await rm(made, { force: true });
    }
  };
  const known = await readFile(join(cluster, fileName), 'utf8').catch(() => undefined);
  if (known !== working) await replace(fileName, working);
  const main = await readFile(join(cluster, 'postgresql.conf'), 'utf8').catch(() => '');
  const included = main.replace(before, `max_connections = 50\ninclude_if_exists = '${fileName}'\ntimezone`);
  if (included !== main) await replace('postgresql.conf', included);
}
