import { describe, expect, it } from 'vitest';
import { crc32, crc32ByTable } from './crc32.js';

describe('crc32', () => {
  it('gives the check value of the standard', () => {
    expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926);
    expect(crc32ByTable(Buffer.from('123456789'))).toBe(0xcbf43926);
  });

  it('is the same by table as by the platform', () => {
    const bytes = Buffer.from(Array.from({ length: 1_000 }, (_, i) => (i * 37) & 0xff));
    for (const length of [0, 1, 255, 1_000])
      expect(crc32ByTable(bytes.subarray(0, length))).toBe(crc32(bytes.subarray(0, length)));
  });
});
