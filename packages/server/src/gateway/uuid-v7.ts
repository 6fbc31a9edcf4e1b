/** UUIDv7 (RFC 9562, section 5.7): the time in front, so that ids made here fill an index from one side. */

import { randomFillSync } from 'node:crypto';

const poolBytes = 4096;
const pool = Buffer.alloc(poolBytes);
let used = poolBytes;

/** A UUIDv7 of `epochMs`: 48 bits of time, 74 random bits. */
export function uuidV7(epochMs: number): string {
  if (used + 10 > poolBytes) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.subarray(used, used + 10);
  used += 10;
  random[0] = (random[0]! & 0x0f) | 0x70;
  random[2] = (random[2]! & 0x3f) | 0x80;
  const time = epochMs.toString(16).padStart(12, '0');
  const hex = random.toString('hex');
  return `${time.slice(0, 8)}-${time.slice(8)}-${hex.slice(0, 4)}-${hex.slice(4, 8)}-${hex.slice(8)}`;
}
