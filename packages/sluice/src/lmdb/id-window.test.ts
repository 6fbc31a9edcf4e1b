import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failure } from '../core/errors.js';
import { systemEnv } from '../env/system.js';
import { seededRandom } from '../testing/seeded-random.js';
import { redriveMark } from './id-rows.js';
import { createIdStore, type IdStore } from './id-window.js';
import { openStore, type Store } from './store.js';

describe('the window of ids over a store', () => {
  let path: string;
  let store: Store;
  let ids: IdStore;

  const openIt = () => {
    store = openStore(path, systemEnv().clock, 30_000);
    ids = createIdStore(store.trees);
  };

  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'sluice-ids-'));
    openIt();
  });

  afterEach(async () => {
    await store.close();
    await rm(path, { recursive: true, force: true });
  });

  /** Claims ids in one transaction; answers where the originals lie. */
  async function claim(texts: readonly string[], { at = 1_000, fails = false, maxItems = 1_000, maxAgeMs = 1_000 } = {}) {
    let found: (number | undefined)[] = [];
    const written = store.write(() => {
      const windows = ids.windows(1, { maxItems, maxAgeMs }, at);
      found = texts.map((id, i) => windows.claim('_', id, { partition: 0, offset: at * 1_000 + i })?.offset);
      windows.end();
      if (fails) throw failure('planned', { code: 'PLANNED' });
    });
    await written.catch((error: { code: string }) => expect(error.code).toBe('PLANNED'));
    return found;
  }

  it('R-190: knows an id that was claimed before, across transactions and restarts', async () => {
    expect(await claim(['a', 'b', 'a'], { at: 1 })).toEqual([undefined, undefined, 1_000]);
    expect(await claim(['c', 'b'], { at: 2 })).toEqual([undefined, 1_001]);
    await store.close();
    openIt();
    expect(await claim(['c', 'a', 'd'], { at: 3 })).toEqual([2_000, 1_000, undefined]);
  });

  it('R-190: remembers nothing of a commit that failed, in which one transaction found what another had noted', async () => {
    const bounds = { maxItems: 1_000, maxAgeMs: 1_000 };
    const claimIn = (texts: readonly string[], at: number) => {
      const windows = ids.windows(1, bounds, at);
      const found = texts.map((id, i) => windows.claim('_', id, { partition: 0, offset: at * 1_000 + i })?.offset);
      windows.end();
      return found;
    };
    await claim(['before'], { at: 1 });
    // Two transactions that lmdb puts into one commit see each other's rows, and fail together.
    const failed = store.write(() => {
      expect(claimIn(['a', 'b'], 2)).toEqual([undefined, undefined]);
      expect(claimIn(['b', 'a', 'before'], 3)).toEqual([2_001, 2_000, 1_000]);
      throw failure('planned', { code: 'PLANNED' });
    });
    await expect(failed).rejects.toMatchObject({ code: 'PLANNED' });
    expect(await claim(['b', 'a'], { at: 4 })).toEqual([undefined, undefined]);
    expect(await claim(['a', 'b', 'before'], { at: 5 })).toEqual([4_001, 4_000, 1_000]);
  });

  it('forgets what a transaction noted that failed: the same ids again are no duplicates', async () => {
    await claim(['before'], { at: 1 });
    expect(await claim(['a', 'b'], { at: 2, fails: true, maxItems: 2 })).toEqual([undefined, undefined]);
    expect(await claim(['b', 'a', 'c', 'd'], { at: 3, fails: true, maxItems: 2 })).toEqual(new Array(4).fill(undefined));
    expect(await claim(['a', 'b'], { at: 4, maxItems: 2 })).toEqual([undefined, undefined]);
    expect(await claim(['a', 'b'], { at: 5, maxItems: 2 })).toEqual([4_000, 4_001]);
  });

  it('tells an id from a redrive whose text is the same', async () => {
    expect(await claim(['["a","r"]', `${redriveMark}["a","r"]`, '\ufffd["a","r"]'], { at: 1 })).toEqual(
      new Array(3).fill(undefined),
    );
    expect(await claim([`${redriveMark}["a","r"]`], { at: 2 })).toEqual([1_001]);
  });

  it('agrees with a list, with ids in rows of many sizes, over failures, restarts and both bounds', async () => {
    const seed = Number(process.env.SLUICE_SEED ?? 4_711);
    const random = seededRandom(seed);
    const below = (count: number) => Math.floor(random.next() * count);
    const bounds = { maxItems: 1_300, maxAgeMs: 30 };
    let known: { id: string; at: number; offset: number }[] = [];
    for (let at = 1; at <= 120; at++) {
      if (below(25) === 0) {
        await store.close();
        openIt();
      }
      const texts = Array.from({ length: 1 + below(below(4) === 0 ? 700 : 40) }, () => `id${below(2_500)}`);
      const fails = below(8) === 0;
      const list = [...known];
      const expected = texts.map((id, i) => {
        const original = list.slice(-bounds.maxItems).find((each) => each.id === id && at - each.at < bounds.maxAgeMs);
        if (original === undefined) list.push({ id, at, offset: at * 1_000 + i });
        return original?.offset;
      });
      expect(await claim(texts, { ...bounds, at, fails }), `seed ${seed}, round ${at}`).toEqual(expected);
      if (!fails) known = list;
    }
    // Garbage is removed with what comes in.
    const rows = [...store.trees.ids.getRange({})].reduce((sum, { value }) => sum + value.length / 24, 0);
    expect(rows).toBeLessThanOrEqual(bounds.maxItems + 3 * 700);
  });
});
