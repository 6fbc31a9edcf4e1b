/** Undo: what a start that fails half-way has to take back, last first. */

/** A list of steps to take back. */
export interface Undo {
  add(step: () => Promise<void>): void;
  /** Takes all steps back, last first; one that fails does not stop the others. */
  run(): Promise<void>;
}

/** An empty list. */
export function createUndo(): Undo {
  const steps: (() => Promise<void>)[] = [];
  return {
    add: (step) => void steps.push(step),
    async run() {
      for (const step of steps.splice(0).reverse()) await step().catch(() => {});
    },
  };
}
