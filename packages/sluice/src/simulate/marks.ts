/** Marks: what is known of each item, one byte each: a simulation may have millions. */

const bits = { cut: 1, sent: 2, taken: 4, told: 8, held: 16 } as const;

/** A fact about an item. `taken`: the sink said that it is done. */
export type Mark = keyof typeof bits;

/** Facts about items, by their number. */
export class Marks {
  #bytes = new Uint8Array(1024);

  has(n: number, mark: Mark): boolean {
    return ((this.#bytes[n] ?? 0) & bits[mark]) !== 0;
  }

  /** @returns false when it was set before. */
  set(n: number, mark: Mark): boolean {
    if (n >= this.#bytes.length) {
      const grown = new Uint8Array(Math.max(n + 1, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    if (this.has(n, mark)) return false;
    this.#bytes[n]! |= bits[mark];
    return true;
  }
}
