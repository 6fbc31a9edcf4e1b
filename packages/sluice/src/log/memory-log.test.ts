import { describe, expect, it } from 'vitest';
import { exerciseLog } from '../testing/exercise-log.js';
import { createMemoryLog } from './memory-log.js';
import { memoryStore } from './memory-store.js';

exerciseLog(
  'the log in memory',
  async (options) => {
    const store = memoryStore();
    let log = createMemoryLog({ ...options, store });
    return {
      log,
      async reopen() {
        await log.close();
        log = createMemoryLog({ ...options, store });
        return log;
      },
      dispose: () => log.close(),
    };
  },
  { describe, it, expect },
);
