/** Offset line: who stands at which offset of a partition. For offsets that come and go in their thousands, mostly side by side. */

/** Those who stand in line; several may stand at one offset. */
export interface Line<T extends object> {
  add(offset: number, one: T): void;
  /** Takes one out, if it stands there. */
  remove(offset: number, one: T): void;
  /** Takes out all who stand from `first` to `last`, both included, and hands each to `taken`, with where it stood. */
  take(first: number, last: number, taken: (one: T, offset: number) => void): void;
  /** Places where somebody stands. */
  readonly size: number;
  /** Where somebody stands, in no order. */
  offsets(): number[];
  /** All who stand there now, in no order. */
  all(): T[];
}

/** Offsets of a page: few enough that one who waits alone for an old offset costs little. */
const pageOffsets = 64;

/** Pages, because an entry of a map for each offset would be made, found and removed for each event that somebody waits for. */
interface Page<T> {
  readonly places: (T | Set<T> | undefined)[];
  /** Places where somebody stands. */
  used: number;
}

/** Nobody stands there at first. */
export function createLine<T extends object>(): Line<T> {
  const pages = new Map<number, Page<T>>();
  let size = 0;

  function pageFor(number: number): Page<T> {
    let page = pages.get(number);
    if (page === undefined) {
      page = { places: new Array<T | undefined>(pageOffsets).fill(undefined), used: 0 };
      pages.set(number, page);
    }
    return page;
  }

  function clear(page: Page<T>, number: number, at: number): void {
    page.places[at] = undefined;
    size--;
    if (--page.used === 0) pages.delete(number);
  }

  function takePage(number: number, first: number, last: number, taken: (one: T, offset: number) => void): void {
    const page = pages.get(number);
    if (page === undefined) return;
    const base = number * pageOffsets;
    const end = Math.min(last - base, pageOffsets - 1);
    for (let at = Math.max(0, first - base); at <= end; at++) {
      const there = page.places[at];
      if (there === undefined) continue;
      clear(page, number, at);
      const offset = base + at;
      if (there instanceof Set) for (const one of there) taken(one, offset);
      else taken(there, offset);
    }
  }

  return {
    add(offset, one) {
      const page = pageFor(Math.floor(offset / pageOffsets));
      const at = offset % pageOffsets;
      const there = page.places[at];
      if (there === undefined) {
        page.places[at] = one;
        page.used++;
        size++;
      } else if (there instanceof Set) there.add(one);
      else if (there !== one) page.places[at] = new Set([there, one]);
    },
    remove(offset, one) {
      const number = Math.floor(offset / pageOffsets);
      const page = pages.get(number);
      const at = offset % pageOffsets;
      const there = page?.places[at];
      if (there === one || (there instanceof Set && there.delete(one) && there.size === 0)) clear(page!, number, at);
    },
    take(first, last, taken) {
      const low = Math.floor(first / pageOffsets);
      const high = Math.floor(last / pageOffsets);
      if (high - low < pages.size) {
        for (let number = low; number <= high; number++) takePage(number, first, last, taken);
        return;
      }
      // A range may be as long as a partition.
      for (const number of [...pages.keys()]) if (number >= low && number <= high) takePage(number, first, last, taken);
    },
    get size() {
      return size;
    },
    offsets() {
      const found: number[] = [];
      for (const [number, { places }] of pages)
        for (let at = 0; at < pageOffsets; at++) if (places[at] !== undefined) found.push(number * pageOffsets + at);
      return found;
    },
    all() {
      const found: T[] = [];
      for (const { places } of pages.values())
        for (const there of places)
          if (there instanceof Set) found.push(...there);
          else if (there !== undefined) found.push(there);
      return found;
    },
  };
}
