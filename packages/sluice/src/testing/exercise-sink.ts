/** What every {@link Sink} must do, as a suite: run it on your own, with any test runner. */

import type { Sink } from '../core/dispatcher.js';
import { sinkChecks } from './sink-checks.js';

/** A sink under test, and the other side of it. Each check gets one of its own. */
export interface SinkUnderTest<T, R = void> {
  readonly sink: Sink<T, R>;
  /** Makes an item that the other side takes; `n` is 0, 1, 2 …, a different item for each. */
  item(n: number): T;
  /** Makes an item that the other side refuses for good. Default: none, and nothing is checked of refusals. */
  badItem?(n: number): T;
  /** The items that the other side has now, by their `n`, each as often as it has it. Default: only answers are checked. */
  written?(): Promise<readonly number[]> | readonly number[];
  /** Takes the other side down; ends with what brings it back. Default: nothing is checked of outages. */
  outage?(): Promise<() => Promise<void> | void>;
  /** Makes calls that begin now take until they are aborted, or for ever. Default: only aborts that come too early or too late are checked. */
  stall?(): Promise<void> | void;
  /** Closes what is open and removes what was made. The sink may be closed already. */
  dispose(): Promise<void> | void;
}

/** Options of {@link exerciseSink}. */
export interface ExerciseSinkOptions {
  /** Items of the largest batch that it will get, 2 or more. Default 500, as of `createBatcher`. */
  readonly maxItems?: number;
  /** Calls that will run at once, 1 or more. Default 4, as of `createBatcher`. */
  readonly maxInFlight?: number;
  /** How long a call may go on after it was aborted, and a close may take, in milliseconds. Default 2,000. */
  readonly patienceMs?: number;
}

/** The functions of a test runner: those of vitest, jest, mocha and `node:test` fit. */
export interface SuiteFunctions {
  describe(name: string, fn: () => void): unknown;
  it(name: string, fn: () => Promise<void>): unknown;
}

/**
 * Declares the tests of a sink: answers in item order and of the right length, classes of failures, partial failures, aborts, what it
 * says of itself (`idempotent`, `atomic`), calls at once, its end, and its place beneath a batcher. A check that needs more than what
 * `open` gives passes unchecked.
 *
 * @param open makes a sink, with nothing on its other side, for each test.
 *
 * @example
 * exerciseSink('the audit sink', openAuditSink, { describe, it });
 */
export function exerciseSink<T, R = void>(
  name: string,
  open: () => Promise<SinkUnderTest<T, R>> | SinkUnderTest<T, R>,
  functions: SuiteFunctions,
  options: ExerciseSinkOptions = {},
): void {
  const { describe, it } = functions;
  const { maxItems = 500, maxInFlight = 4, patienceMs = 2_000 } = options;
  describe(name, () => {
    for (const [sentence, check] of Object.entries(sinkChecks)) {
      it(sentence, async () => {
        const under = await open();
        try {
          await check(under as SinkUnderTest<unknown, unknown>, { maxItems, maxInFlight, patienceMs });
        } finally {
          await under.dispose();
        }
      });
    }
  });
}
