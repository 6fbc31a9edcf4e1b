import { describe, expect, it } from 'vitest';
import { exerciseLog } from '../testing/exercise-log.js';
import { createMemoryLog } from './memory-log.js';

exerciseLog(
  'the log in memory',
  async (options) => {
    const log = createMemoryLog(options);
    return { log, dispose: () => log.close() };
  },
  { describe, it, expect },
);
