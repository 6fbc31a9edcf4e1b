/** Opens a log, appends one event and says when it is durable: run with a library that cuts the power while the store is made. */

import { writeSync } from 'node:fs';
import { openLmdbLog } from '../../packages/sluice/src/lmdb/lmdb-log.js';

const log = openLmdbLog({ path: process.argv[2]!, reserveBytes: 0 });
await log.append('s', [{ id: 'first', tenant: '_', time: null, receivedAt: 1, payload: Buffer.of(1) }]);
writeSync(1, 'durable');
await log.close();
