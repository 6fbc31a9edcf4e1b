import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exerciseLog } from '../testing/exercise-log.js';
import { openLmdbLog } from './lmdb-log.js';

exerciseLog(
  'the log over LMDB',
  async (options) => {
    const path = await mkdtemp(join(tmpdir(), 'sluice-log-'));
    let log = openLmdbLog({ path, ...options });
    return {
      log,
      async reopen() {
        await log.close();
        log = openLmdbLog({ path, ...options });
        return log;
      },
      async dispose() {
        await log.close();
        await rm(path, { recursive: true, force: true });
      },
    };
  },
  { describe, it, expect },
);
