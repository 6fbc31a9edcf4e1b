/** What every {@link Log} must do, as a suite: run it on your own implementation. */

import { exerciseAppend } from './exercise-log-append.js';
import { exerciseGroups } from './exercise-log-groups.js';
import { exerciseLetters } from './exercise-log-letters.js';
import { exerciseStreams } from './exercise-log-streams.js';
import { type LogUnderTest, type LogUnderTestOptions, logSuite, type TestFunctions } from './exercise-log-support.js';

export type { LogUnderTest, LogUnderTestOptions, TestFunctions };

/** Declares the tests of a log; `open` makes an empty one for each test. */
export function exerciseLog(
  name: string,
  open: (options: LogUnderTestOptions) => Promise<LogUnderTest>,
  functions: TestFunctions,
): void {
  const suite = logSuite(name, open, functions);
  exerciseAppend(suite);
  exerciseStreams(suite);
  exerciseGroups(suite);
  exerciseLetters(suite);
}
