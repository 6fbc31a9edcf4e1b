import { expect, test } from 'vitest';
import { uuidV7 } from './uuid-v7.js';

test('a UUIDv7 starts with its time and never repeats', () => {
  const at = Date.UTC(2024, 0, 1);
  const ids = Array.from({ length: 1_000 }, () => uuidV7(at));
  expect(new Set(ids).size).toBe(1_000);
  for (const id of ids) expect(id).toMatch(/^018cc251-f400-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(uuidV7(at + 1) > ids[0]!).toBe(true);
});
