/** Option names: what the library says of its own options, said of those that stand in the configuration. */

import { failure, SluiceError } from 'sluice';
import type { PipelineSink } from '../pipeline-sink.js';

/**
 * A sink whose failures speak of the configuration.
 *
 * @param reword the message of a failure of the library, in the words of the configuration.
 * @param open makes the sink; what it throws is reworded too.
 */
export function withOptionNames(reword: (message: string) => string, open: () => PipelineSink): PipelineSink {
  const reworded = (thrown: unknown): unknown => {
    // Another failure may quote the server, which says what it likes.
    if (!(thrown instanceof SluiceError) || !codes.has(thrown.code)) return thrown;
    const message = reword(thrown.message);
    return message === thrown.message ? thrown : failure(message, { code: thrown.code, class: thrown.class, cause: thrown });
  };
  const fail = (thrown: unknown): never => {
    throw reworded(thrown);
  };
  try {
    const sink = open();
    return {
      ...sink,
      prepare: () => sink.prepare().catch(fail),
      write: async (items, context) => {
        try {
          return await sink.write(items, context);
        } catch (thrown) {
          return fail(thrown);
        }
      },
    };
  } catch (thrown) {
    return fail(thrown);
  }
}

/** Failures that name options of the library. */
const codes = new Set(['COLUMN_MISMATCH', 'INVALID_OPTION', 'PG_42P01']);
