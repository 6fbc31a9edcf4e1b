/** Verify: reads everything in a store once, in one snapshot, and says what does not fit together. */

import type { Transaction } from 'lmdb';
import type { Clock } from '../env/env.js';
import type { VerifyReport } from '../log/log.js';
import type { Trees } from './store.js';
import { verifyChunks, verifyStreams } from './verify-chunks.js';
import { createFindings } from './verify-findings.js';
import { verifyGroups, verifyIds, verifyLetters } from './verify-rows.js';

/** Checks a store as it is now, a few milliseconds a turn: what is committed meanwhile is not part of it. */
export async function verifyStore(trees: Trees, transaction: Transaction, clock: Clock): Promise<VerifyReport> {
  try {
    const steps = verifySteps(trees, transaction);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      await new Promise<void>((resolve) => clock.afterTurn(resolve));
    }
  } finally {
    transaction.done();
  }
}

function* verifySteps(trees: Trees, transaction: Transaction): Generator<void, VerifyReport, void> {
  const findings = createFindings(trees, transaction);
  const streams = verifyStreams(findings);
  yield* verifyChunks(findings, streams);
  yield* verifyGroups(findings, streams);
  yield* verifyLetters(findings, streams);
  yield* verifyIds(findings, streams);
  return findings.report();
}
