import { describe, expect, it } from 'vitest';
import type { SluiceEvent } from '../core/event.js';
import { systemEnv } from '../env/system.js';
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

it('does not mind an observer that throws', async () => {
  const told: string[] = [];
  const observe = ({ type }: SluiceEvent) => {
    told.push(type);
    throw new Error('an observer that throws');
  };
  const log = createMemoryLog({ env: systemEnv({ observe }) });
  log.onAppended('s', () => {
    throw new Error('a listener that throws');
  });
  let heard = 0;
  log.onAppended('s', () => heard++);
  const event = { id: 'a', tenant: '_', time: null, receivedAt: 1, payload: new Uint8Array() };
  await log.append('s', [event]);
  expect([told, heard]).toEqual([['callbackError'], 1]);
  await log.close();
});
