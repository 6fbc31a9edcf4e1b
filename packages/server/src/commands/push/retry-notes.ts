/** Retry notes: says that a push waits and why, without a line for every request and every attempt. */

/** Told of every wait before another attempt. */
export type RetryNote = (problem: string, delayMs: number) => void;

/** A problem that lasts is told again after this long, so that nobody takes a waiting push for a dead one. */
const sameProblemMs = 10_000;
const anyLineMs = 1_000;

/** Prints a wait when its problem was not printed in the last ten seconds, and nothing in the last second. */
export function createRetryNotes(print: (text: string) => void, now: () => number = () => performance.now()): RetryNote {
  const printedAt = new Map<string, number>();
  let lastAt = Number.NEGATIVE_INFINITY;
  return (problem, delayMs) => {
    const at = now();
    for (const [known, since] of printedAt) if (at - since >= sameProblemMs) printedAt.delete(known);
    if (printedAt.has(problem) || at - lastAt < anyLineMs) return;
    printedAt.set(problem, at);
    lastAt = at;
    print(`${problem}; trying again in ${(delayMs / 1_000).toFixed(1)} s.`);
  };
}
