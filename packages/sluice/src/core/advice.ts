/** Advice: what a layer that is not ready tells all who ask, with one promise for all of them. */

/**
 * "Not now: ask again then." All who ask get the same promise, by which an engine knows that its lanes wait for the same thing: it asks
 * once more when that has come, not once for each lane.
 */
export class Advice {
  #promise: Promise<void> | undefined = undefined;
  #resolve = () => {};

  /** Whether anybody has asked since it was last given. */
  get isAwaited(): boolean {
    return this.#promise !== undefined;
  }

  /** For who asks now. */
  later(): Promise<void> {
    this.#promise ??= new Promise((resolve) => {
      this.#resolve = resolve;
    });
    return this.#promise;
  }

  /** Ask again: it may be possible now. */
  give(): void {
    if (this.#promise === undefined) return;
    this.#promise = undefined;
    this.#resolve();
  }
}
