/** closeSink: the last step of a close, which must not hide what the drain did. */

import type { Sink } from '../core/dispatcher.js';
import { asFailure, failure, SluiceError } from '../core/errors.js';
import type { DrainReport } from '../engine/engine.js';
import type { Clock } from '../env/env.js';

/** The sink could not be closed after the drain (`CLOSE_FAILED`): what it still kept for itself may be lost. */
export class CloseError extends SluiceError {
  /** What the drain did before. */
  readonly report: DrainReport;

  constructor(problem: SluiceError, report: DrainReport) {
    super(`the batcher has drained, but its sink could not be closed: ${problem.message}`, {
      code: 'CLOSE_FAILED',
      class: 'unknown',
      cause: problem,
    });
    this.name = 'CloseError';
    this.report = report;
  }
}

/** A sink gets this long to close even if the drain has used up its deadline: enough to give a connection back. */
const leastCloseMs = 500;

/**
 * Closes the sink within what is left of the deadline, at least half a second.
 *
 * @throws CloseError when it rejects, or does not answer in time.
 */
export async function closeSink<T, R>(
  sink: Sink<T, R>,
  report: DrainReport,
  deadlineMs: number,
  clock: Clock,
): Promise<DrainReport> {
  if (sink.close === undefined) return report;
  const waitMs = Math.max(deadlineMs - report.durationMs, leastCloseMs);
  let cancel = () => {};
  const timeUp = new Promise<never>((_, reject) => {
    if (waitMs === Number.POSITIVE_INFINITY) return;
    const late = () => reject(failure(`no answer after ${waitMs} ms.`, { code: 'TIMEOUT', class: 'unknown' }));
    cancel = clock.after(waitMs, late);
  });
  try {
    await Promise.race([sink.close(), timeUp]);
    return report;
  } catch (thrown) {
    throw new CloseError(asFailure(thrown, 'unknown'), report);
  } finally {
    cancel();
  }
}
