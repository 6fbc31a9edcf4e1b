/** Bell: wakes a loop that has looked at everything and waits for a change. */

/** Heard by whoever began to listen before it rang. */
export interface Bell {
  ring(): void;
  /** Resolves at the next ring. Take it before you look, or a ring in between is lost. */
  next(): Promise<void>;
}

/** A bell for one listener. */
export function createBell(): Bell {
  let heard: (() => void) | undefined;
  return {
    ring() {
      heard?.();
      heard = undefined;
    },
    next: () =>
      new Promise((resolve) => {
        heard = resolve;
      }),
  };
}
