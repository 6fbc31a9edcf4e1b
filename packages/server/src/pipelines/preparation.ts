/** Preparation: connects to the database and makes the table, again and again until it succeeds. */

import type { Cancel, Env } from 'sluice';

/** Whether the database has been prepared. */
export interface Preparation {
  /** Why it could not be used when that was last tried; undefined once it could. */
  readonly problem: string | undefined;
  /** Resolves when the first try has ended, or takes too long to wait for. */
  readonly firstTry: Promise<void>;
  stop(): void;
}

/** How long the start waits for the first try, and the pause between two. */
const firstTryMs = 3_000;
const pauseMs = 2_000;

/** Prepares a sink; the pipeline need not wait for it, since its first write does the same. */
export function prepareSink(sink: { prepare(): Promise<void> }, { clock }: Env): Preparation {
  let problem: string | undefined = `no answer within ${firstTryMs / 1000} s`;
  let cancel: Cancel = () => {};
  let stopped = false;
  let endFirstTry!: () => void;
  const firstTry = new Promise<void>((resolve) => {
    const cancelWait = clock.after(firstTryMs, resolve);
    endFirstTry = () => {
      cancelWait();
      resolve();
    };
  });

  const run = async () => {
    try {
      await sink.prepare();
      problem = undefined;
    } catch (error) {
      // It is told in parentheses, within a sentence.
      problem = (error as Error).message.replace(/\.$/, '');
      if (!stopped) cancel = clock.after(pauseMs, () => void run());
    }
    endFirstTry();
  };
  void run();

  return {
    get problem() {
      return problem;
    },
    firstTry,
    stop() {
      stopped = true;
      cancel();
    },
  };
}
