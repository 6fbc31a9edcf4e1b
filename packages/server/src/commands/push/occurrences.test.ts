import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { createOccurrences } from './occurrences.js';

const hash = (text: string): Buffer => createHash('sha256').update(text).digest();

test('each line is counted apart, while the table grows', () => {
  const occurrences = createOccurrences();
  const lines = Array.from({ length: 100_000 }, (_, line) => hash(`${line}`));
  for (const round of [1, 2]) expect(lines.every((line) => occurrences.next(line) === round)).toBe(true);
});

test('beyond the bound the numbers of equal lines still differ, and are the same each time', () => {
  const numbers = () => {
    const occurrences = createOccurrences(64);
    return Array.from({ length: 1_000 }, (_, n) => `${n % 500}:${occurrences.next(hash(`${n % 500}`))}`);
  };
  expect(new Set(numbers()).size).toBe(1_000);
  expect(numbers()).toEqual(numbers());
});
