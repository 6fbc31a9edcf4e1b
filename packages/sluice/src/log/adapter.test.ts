import { describe, expect, it } from 'vitest';
import { exerciseLog } from '../testing/exercise-log.js';
import { createConsumer } from './consumer.js';
import type { Log } from './log.js';
import { createMemoryLog } from './memory-log.js';
import { memoryStore } from './memory-store.js';
import { redriveLetters } from './redrive.js';

/** A log of somebody else's making: the members of the contract, each an answer from afar, and no facet. */
function adapterTo(far: Log): Log {
  return {
    id: far.id,
    facets: {},
    defineStream: async (...args) => far.defineStream(...args),
    streamSettings: async (...args) => far.streamSettings(...args),
    streams: async () => far.streams(),
    offer: (...args) => far.offer(...args),
    append: async (...args) => far.append(...args),
    read: async (...args) => far.read(...args),
    offsetAt: async (...args) => far.offsetAt(...args),
    onAppended: (...args) => far.onAppended(...args),
    createGroup: async (...args) => far.createGroup(...args),
    deleteGroup: async (...args) => far.deleteGroup(...args),
    groups: async (...args) => far.groups(...args),
    position: async (...args) => far.position(...args),
    lag: async (...args) => far.lag(...args),
    claim: async (...args) => far.claim(...args),
    inFlight: async (...args) => far.inFlight(...args),
    settle: async (...args) => far.settle(...args),
    skip: async (...args) => far.skip(...args),
    release: async (...args) => far.release(...args),
    seek: async (...args) => far.seek(...args),
    letters: {
      get items() {
        return far.letters.items;
      },
      get bytes() {
        return far.letters.bytes;
      },
      page: async (...args) => far.letters.page(...args),
      groups: async (...args) => far.letters.groups(...args),
      get: async (...args) => far.letters.get(...args),
      markRedriven: async (...args) => far.letters.markRedriven(...args),
      purge: async (...args) => far.letters.purge(...args),
    },
    retain: async () => far.retain(),
    flushed: async () => far.flushed(),
    get memoryOnly() {
      return far.memoryOnly;
    },
    stopped: far.stopped,
    close: async () => far.close(),
  };
}

exerciseLog(
  'R-180: an adapter to a log elsewhere',
  async (options) => {
    const store = memoryStore();
    let log = adapterTo(createMemoryLog({ ...options, store }));
    return {
      log,
      async reopen() {
        await log.close();
        log = adapterTo(createMemoryLog({ ...options, store }));
        return log;
      },
      dispose: () => log.close(),
    };
  },
  { describe, it, expect },
);

describe('a log of somebody else', () => {
  it('R-180: serves a consumer, its dead letters and their redrive', async () => {
    const log = adapterTo(createMemoryLog());
    const event = (id: string) => ({ id, tenant: '_', time: null, receivedAt: 1, payload: Buffer.from(id) });
    await log.append('s', ['a', 'b', 'c'].map(event));
    const taken: string[] = [];
    let refuses = true;
    const consumer = await createConsumer({
      ...{ log, stream: 's', group: 'g', window: 'whileBusy' },
      sink: {
        async write(records) {
          return records.map(({ id }) => {
            if (refuses && id === 'b') return new TypeError('no');
            taken.push(id);
            return undefined;
          });
        },
      },
    });
    expect(await consumer.settled(0, 1, new AbortController().signal)).toBe('dead');
    refuses = false;
    expect(await redriveLetters(log).done).toMatchObject({ state: 'done', redriven: 1 });
    expect(await consumer.drain({ deadlineMs: 5_000 })).toMatchObject({ leftInLog: 0 });
    expect(taken.sort()).toEqual(['a', 'b', 'c']);
    await log.close();
  });
});
