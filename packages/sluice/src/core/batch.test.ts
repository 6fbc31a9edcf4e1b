/** Tests of the batch ids: a part is never mistaken for the whole. */

import { describe, expect, it } from 'vitest';
import { EngineItem } from '../engine/item.js';
import { createBatch } from './batch.js';

const batchOf = (count: number) => {
  const items = Array.from({ length: count }, (_, i) => new EngineItem(i, 10));
  return createBatch('b', 'lane', items, count * 10, 'size');
};

describe('a batch', () => {
  it('is itself when all of it is chosen', () => {
    const batch = batchOf(4);
    expect(batch.only([0, 1, 2, 3])).toBe(batch);
  });

  it('gives each subset an id of its own, its items and its bytes', () => {
    const batch = batchOf(4);
    const [left, right] = [batch.only([0, 1]), batch.only([2, 3])];
    expect([left.id, right.id]).toEqual(['b.1', 'b.2']);
    expect(right.items.map((item) => item.value)).toEqual([2, 3]);
    expect(right).toMatchObject({ bytes: 20, lane: 'lane', reason: 'size' });
  });

  it('numbers the subsets of subsets by the whole, so that no two different ones share an id', () => {
    const batch = batchOf(8);
    const [left, right] = [batch.only([0, 1, 2, 3]), batch.only([4, 5, 6, 7])];
    const ids = [left, right, left.only([0, 1]), right.only([0, 1]), left.only([2]), right.only([2])].map((part) => part.id);
    expect(new Set(ids).size).toBe(6);
  });

  it('gives the same members the same id again, however they were chosen', () => {
    const batch = batchOf(8);
    const half = batch.only([0, 2, 3, 7]);
    expect(batch.only([0, 2, 3, 7]).id).toBe(half.id);
    expect(half.only([1, 2]).id).toBe(batch.only([2, 3]).id);
    expect(batch.only([2]).id).not.toBe(batch.only([3]).id);
    expect(batch.only([1, 2]).id).not.toBe(batch.only([1, 3]).id);
  });
});
