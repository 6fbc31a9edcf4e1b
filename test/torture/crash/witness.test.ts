import { describe, expect, it } from 'vitest';
import { idOf, isPoison, keyOf, streamOf } from './event.js';
import type { Found } from './reports.js';
import { createWitness } from './witness.js';

const id = (n: number) => idOf(0, n);
/** Numbers of three events of the first life that share a key, go to `orders`, and that every sink takes. */
const [a, b, c] = sameKey(3) as [number, number, number];
const at = { stream: 'orders', partition: 0 };
const search = { ...at, group: 'search' };

/** A witness of the first life, whose only writer has been allowed to send all three. */
function witnessOfOneLife() {
  const witness = createWitness();
  witness.begin(0);
  witness.compare(store([]));
  witness.hear({ is: 'offered', below: c + 1, writer: 0 });
  return witness;
}

/** A log that holds these, which group `search` has settled up to the cursor. */
function store(numbers: readonly number[], cursor = 0): Found[] {
  return [
    { is: 'stream', ...at, first: 0, next: numbers.length },
    { is: 'records', ...at, records: numbers.map((n, offset) => [offset, id(n), true, null] as const) },
    { is: 'group', ...search, cursor, above: [], lost: 0 },
    { is: 'letters', count: 0 },
  ];
}

function gives(witness: ReturnType<typeof createWitness>, ...records: readonly (readonly [number, number])[]) {
  return witness.hear({
    ...{ is: 'delivered', ...search, inOrder: true },
    records: records.map(([offset, n]) => [offset, id(n)] as const),
  });
}

describe('the witness of the crashes', () => {
  it('R-177: sees a key that is delivered out of its order', () => {
    const witness = witnessOfOneLife();
    expect(gives(witness, [0, a], [1, b])).toBeUndefined();
    expect(gives(witness, [2, c])).toBeUndefined();
    expect(gives(witness, [1, b])).toContain('after 2, which has the same key');
  });

  it('R-177: sees a record that is passed over by a later one of its key, and allows it after a restart', () => {
    const witness = witnessOfOneLife();
    gives(witness, [0, a], [2, c]);
    expect(witness.compare(store([a, b, c]))).toEqual([expect.stringContaining(`and not ${id(b)} at 1`)]);
    // Nothing was settled: from here all are owed again, in their order.
    gives(witness, [0, a], [1, b], [2, c]);
    expect(witness.compare(store([a, b, c], 1))).toEqual([]);
    gives(witness, [1, b], [2, c]);
    expect(witness.compare(store([a, b, c], 3))).toEqual([]);
  });

  it('R-177: sees events of a key that do not lie in the log as their writer sent them', () => {
    expect(witnessOfOneLife().compare(store([a, c]))).toEqual([]);
    expect(witnessOfOneLife().compare(store([a, c, b]))).toEqual([expect.stringContaining('which was sent after it')]);
  });

  it('sees the loss of what was offered and flushed, and lets go what was merely offered', () => {
    expect(witnessOfOneLife().compare(store([]))).toEqual([]);
    const witness = witnessOfOneLife();
    witness.hear({ is: 'flushed', ids: [id(a), id(b)] });
    expect(witness.compare(store([a]))).toEqual([`${id(b)} was offered and flushed, and is gone`]);
  });
});

function sameKey(count: number): number[] {
  const ofKey = new Map<string, number[]>();
  for (let n = 1; ; n++) {
    if (streamOf(id(n)) !== 'orders' || isPoison(id(n))) continue;
    const its = ofKey.get(keyOf(id(n))) ?? [];
    ofKey.set(keyOf(id(n)), its);
    if (its.push(n) === count) return its;
  }
}
