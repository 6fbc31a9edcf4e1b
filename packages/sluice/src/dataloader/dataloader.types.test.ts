/** The types of the original serve for ours: annotations need no change. */

import type Original from 'dataloader';
import { expect, expectTypeOf, it } from 'vitest';
import { DataLoader } from './index.js';

interface User {
  readonly name: string;
}

it('infers its types, has those of the namespace, and goes where the original is expected', async () => {
  const loader = new DataLoader(async (ids: readonly number[]) => ids.map((id): User | Error => ({ name: `${id}` })));
  expectTypeOf(loader).toEqualTypeOf<DataLoader<number, User>>();
  expectTypeOf(loader.loadMany).returns.resolves.toEqualTypeOf<(User | Error)[]>();
  const original: Original<number, User> = loader;
  expect(await original.load(1)).toEqual({ name: '1' });
  const options: DataLoader.Options<{ id: number }, User, string> = { cacheKeyFn: ({ id }) => `${id}`, cacheMap: new Map() };
  const batchFn: DataLoader.BatchLoadFn<{ id: number }, User> = async (keys) => keys.map(({ id }) => ({ name: `${id}` }));
  const keyed: DataLoader<{ id: number }, User, string> = new DataLoader(batchFn, options);
  expect(await keyed.load({ id: 2 })).toEqual({ name: '2' });
  const cacheMap: DataLoader.CacheMap<string, Promise<User>> = new Map<string, Promise<User>>();
  expect(cacheMap).toBeInstanceOf(Map);
});
