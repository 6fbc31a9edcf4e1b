import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createInFlightMarks, type InFlightMarks } from './in-flight.js';

const range = (first: number) => [{ first, last: first + 9 }];
const ownerOf = (epoch: number) => ({ group: 'g', stream: 's', partition: 0, epoch });

describe('createInFlightMarks', () => {
  let path: string;
  let marks: InFlightMarks;
  /** What the next start would find. */
  const found = (epoch: number) => createInFlightMarks(path).read('g', 's', 0, epoch);

  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'sluice-marks-'));
    marks = createInFlightMarks(path);
  });
  afterEach(async () => {
    await marks.close();
    rmSync(path, { recursive: true });
  });

  it('has the marks in the file when a write resolves, for the epoch of their owner alone', async () => {
    await marks.write(ownerOf(3), range(20));
    expect(found(3)).toEqual(range(20));
    expect(found(2)).toEqual([]);
    await marks.write(ownerOf(3), []);
    expect(found(3)).toEqual([]);
  });

  it('writes once for all who come during a write, with the newest marks', async () => {
    const first = marks.write(ownerOf(1), range(0));
    await Promise.resolve();
    const during = [1, 2, 3].map((n) => marks.write(ownerOf(1), range(n * 10)));
    await first;
    await Promise.all(during);
    expect(found(1)).toEqual(range(30));
    const file = readFileSync(join(path, 'in-flight', readdirSync(join(path, 'in-flight'))[0]!));
    const sequences = [0, 40_960].map((slot) => file.readUIntBE(slot + 8, 6));
    expect(Math.max(...sequences)).toBe(2);
  });

  it('keeps what a new owner writes from what is still being written for the one before it', async () => {
    const before = marks.write(ownerOf(1), range(0));
    marks.clear('g', 's', 0);
    const after = marks.write(ownerOf(2), range(50));
    await Promise.all([before, after]);
    expect(found(2)).toEqual(range(50));
    expect(found(1)).toEqual([]);
  });

  it('waits for what is being written when it is closed', async () => {
    const writes = [1, 2, 3].map((partition) => marks.write({ ...ownerOf(1), partition }, range(partition)));
    await marks.close();
    await Promise.all(writes);
    expect(createInFlightMarks(path).read('g', 's', 3, 1)).toEqual(range(3));
  });
});
