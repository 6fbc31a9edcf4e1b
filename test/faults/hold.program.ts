/** Holds a store open, for writing or in the middle of a read, until it is killed. */

import { writeSync } from 'node:fs';
import { open } from 'lmdb';
import { openLmdbLog } from '../../packages/sluice/src/lmdb/lmdb-log.js';

const [, , path, how] = process.argv;
if (how === 'write') {
  const log = openLmdbLog({ path: path! });
  await log.append('s', [{ id: 'a', tenant: '_', time: null, receivedAt: 1, payload: Buffer.of(1) }]);
} else {
  const root = open({ path: path!, noSubdir: false, readOnly: true });
  root.useReadTransaction();
}
writeSync(1, 'ready');
setInterval(() => {}, 1_000);
