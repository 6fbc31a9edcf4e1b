/**
 * Index of ids: which numbers an id may have, in memory, so that a new id costs no walk down a tree. It is made from the store when it is
 * first needed and may be thrown away at any time; what it answers is a hint, which the store confirms.
 */

/** The hints of one scope. */
export interface IdIndex {
  /** The window that it was made for. */
  readonly maxItems: number;
  /** Bytes of memory. */
  readonly bytes: number;
  /** The first number with this hash that `isIt` confirms. */
  find<T>(hash: number, isIt: (number: number) => T | undefined): T | undefined;
  /** The number behind the last one that was added. */
  readonly next: number;
  /** Numbers come in ascending order. */
  add(hash: number, number: number): void;
}

// Where a lookup begins is decided by the hash; half empty, it ends after one step or two.
const maxLoad = 0.6;
const smallest = 64;

/**
 * Hints in two tables: the present one takes numbers until it holds a window, then the one before is thrown away, and the next begins. So what is
 * in the window is in one of the two.
 *
 * @param maxItems the window.
 * @param first the number that comes first.
 */
export function createIdIndex(maxItems: number, first: number): IdIndex {
  let present = createTable(first);
  let before: Table | undefined;
  let next = first;
  return {
    maxItems,
    get next() {
      return next;
    },
    get bytes() {
      return present.bytes + (before?.bytes ?? 0);
    },
    find: (hash, isIt) => present.find(hash, isIt) ?? before?.find(hash, isIt),
    add(hash, number) {
      if (present.items >= maxItems || number - present.first >= maxRelative) {
        before = present;
        present = createTable(number);
      }
      present.add(hash, number);
      next = number + 1;
    },
  };
}

const maxRelative = 0x7fff_ffff;

interface Table {
  readonly first: number;
  readonly items: number;
  readonly bytes: number;
  find<T>(hash: number, isIt: (number: number) => T | undefined): T | undefined;
  add(hash: number, number: number): void;
}

/** Open addressing: hash and number (from `first`, plus one; 0 is a free place) side by side. */
function createTable(first: number): Table {
  let places = smallest;
  let slots = new Int32Array(places * 2);
  let items = 0;

  const put = (hash: number, relative: number) => {
    let at = (hash & (places - 1)) * 2;
    while (slots[at + 1] !== 0) at = (at + 2) & (places * 2 - 1);
    slots[at] = hash;
    slots[at + 1] = relative;
  };
  const grow = () => {
    const old = slots;
    places *= 2;
    slots = new Int32Array(places * 2);
    for (let at = 0; at < old.length; at += 2) if (old[at + 1] !== 0) put(old[at]!, old[at + 1]!);
  };

  return {
    first,
    get items() {
      return items;
    },
    get bytes() {
      return slots.byteLength;
    },
    find(hash, isIt) {
      const wanted = hash | 0;
      for (let at = (wanted & (places - 1)) * 2; slots[at + 1] !== 0; at = (at + 2) & (places * 2 - 1)) {
        if (slots[at] !== wanted) continue;
        const found = isIt(first + slots[at + 1]! - 1);
        if (found !== undefined) return found;
      }
      return undefined;
    },
    add(hash, number) {
      if (items + 1 > places * maxLoad) grow();
      put(hash | 0, number - first + 1);
      items++;
    },
  };
}

/** The indexes of a store; those that were used last are kept. */
export interface IdIndexes {
  /**
   * The index of a scope whose next number is `next`. `fill` brings the window when it is not in memory: never used, thrown away, made for a
   * smaller window, or spoilt by a transaction that failed, whose numbers are given again.
   */
  get(scope: number, maxItems: number, next: number, fill: (index: IdIndex) => void): IdIndex;
}

/** Indexes of at most so many bytes together, or of one scope. */
export function createIdIndexes(maxBytes: number): IdIndexes {
  const indexes = new Map<number, IdIndex>();
  return {
    get(scope, maxItems, next, fill) {
      let index = indexes.get(scope);
      if (index === undefined || index.maxItems < maxItems || index.next !== next) {
        index = createIdIndex(maxItems, Math.max(0, next - maxItems));
        fill(index);
      }
      // Most recently used last.
      indexes.delete(scope);
      indexes.set(scope, index);
      let bytes = 0;
      for (const each of indexes.values()) bytes += each.bytes;
      for (const [oldest, { bytes: freed }] of indexes) {
        if (bytes <= maxBytes || oldest === scope) break;
        indexes.delete(oldest);
        bytes -= freed;
      }
      return index;
    },
  };
}
