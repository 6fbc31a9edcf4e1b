/** port: where the server listens. */

import { chown, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Place } from './place.js';

/** The port of last time, so that a connection string stays valid, if nothing else took it. */
export async function choosePort(place: Place): Promise<number> {
  const remembered = Number(await readFile(place.portFile, 'utf8').catch(() => ''));
  return remembered > 0 && (await freePort(remembered).catch(() => 0)) === remembered ? remembered : freePort();
}

/** A free port of 127.0.0.1: any, or this one. Another process may take it before the server does. */
export function freePort(port = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port));
    });
  });
}

/** Keeps the port for the next start. */
export async function rememberPort(place: Place, port: number): Promise<void> {
  await writeFile(place.portFile, String(port));
  if (place.account !== undefined) await chown(place.portFile, place.account.uid, place.account.gid);
}
