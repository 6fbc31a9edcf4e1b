/** Module sink: runs a function of the user's for each batch; it says of each event whether it is done. */

import { failure, SluiceError } from 'sluice';
import type { Handler, Verdict } from '../../config/pipeline-schema.js';
import type { PipelineSink } from '../pipeline-sink.js';

/** A sink that hands batches to a handler. */
export function moduleSink(handler: Handler, idempotent: boolean): PipelineSink {
  return {
    idempotent,
    async write(events, { signal, batchId, attempt }) {
      const verdicts = await handler(events, { signal, batchId, attempt });
      if (verdicts === undefined || verdicts === null) return;
      if (!Array.isArray(verdicts) || verdicts.length !== events.length) {
        const got = Array.isArray(verdicts) ? `${verdicts.length} verdicts` : typeof verdicts;
        throw new SluiceError(`expected nothing, or ${events.length} verdicts, from the handler; got ${got}`, {
          code: 'RESULT_LENGTH_MISMATCH',
          class: 'unknown',
        });
      }
      return verdicts.map(outcomeOf);
    },
    prepare: async () => {},
    close: async () => {},
  };
}

function outcomeOf(given: Verdict): Error | undefined {
  const { verdict, reason } = typeof given === 'object' && given !== null ? given : { verdict: given, reason: undefined };
  if (verdict === 'ack') return undefined;
  const text = reason === undefined ? '' : `: ${String(reason).slice(0, 500)}`;
  if (verdict === 'retry') return failure(`the handler asks for a retry${text}`, { code: 'HANDLER_RETRY', class: 'transient' });
  if (verdict === 'dead') return failure(`the handler gave it up${text}`, { code: 'HANDLER_DEAD', class: 'permanent' });
  return failure(`the handler answered ${JSON.stringify(given)?.slice(0, 60)}; expected 'ack', 'retry' or 'dead'`, {
    code: 'BAD_RESULT',
  });
}
