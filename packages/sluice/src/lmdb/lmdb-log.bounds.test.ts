import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type LmdbLogOptions, openLmdbLog } from './lmdb-log.js';

const event = (id: string, bytes = 10) => ({ id, tenant: '_', time: null, receivedAt: 1, payload: Buffer.alloc(bytes, 'x') });

function openLog(options: Partial<LmdbLogOptions> = {}) {
  const path = mkdtempSync(join(tmpdir(), 'sluice-bounds-'));
  const log = openLmdbLog({ path, reserveBytes: 0, ...options });
  onTestFinished(async () => {
    await log.close();
    rmSync(path, { recursive: true });
  });
  return log;
}

describe('appends to the log over LMDB', () => {
  it('R-132: of a thousand writers at once share a flush, and each is told when it has come', async () => {
    const log = openLog();
    await log.append('s', [event('first')]);
    let commits = 0;
    log.onAppended('s', () => commits++);
    const receipts = await Promise.all(Array.from({ length: 1_000 }, (_, n) => log.append('s', [event(`e${n}`)])));
    expect(receipts.map(({ level, appended }) => [level, appended[0]!.offset])).toEqual(
      Array.from({ length: 1_000 }, (_, n) => ['durable', n + 1]),
    );
    // One that had begun, and one that holds all that came meanwhile.
    expect(commits).toBeLessThanOrEqual(2);
  });

  it.each([
    ['items', { maxHeldItems: 3 }, 10],
    ['bytes', { maxHeldBytes: 3_500 }, 1_000],
  ])(
    'R-178: hold so many %s until they are on disk, refuse the rest by name, and take more when there is room',
    async (_, bounds, bytes) => {
      const log = openLog(bounds);
      const three = ['a', 'b', 'c'].map((id) => log.append('s', [event(id, bytes)]));
      const rest = [log.append('s', [event('d', bytes)]), log.append('s', [event('e', bytes), event('f', bytes)])];
      expect(log.offer('s', [event('g', bytes)])).toBe('full');
      expect(log.memoryOnly).toBe(3);
      for (const refused of await Promise.allSettled(rest))
        expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'OVERLOADED', class: 'rejected' } });
      await Promise.all(three);
      expect(log.offer('s', [event('g', bytes)])).toBe('accepted');
      await log.flushed();
      expect((await log.read('s', 0, 0, { maxItems: 100, maxBytes: 1e6 })).map(({ id }) => id)).toEqual(['a', 'b', 'c', 'g']);
    },
  );
});
