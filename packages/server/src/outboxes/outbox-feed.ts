/** Outbox feed: the sink of a relay: appends what it brings to the log, and refuses what no pipeline could read. */

import { failure, type Sink } from 'sluice';
import type { Log } from 'sluice/log';
import { logSink, type OutboxRecord } from 'sluice/postgres';
import { name } from '../config/numbers.js';
import { textProblem } from '../gateway/text.js';

/** Where the events of an outbox go. */
export interface FeedParts {
  readonly log: Pick<Log, 'append'>;
  /** All go there; `undefined`: each to the stream that it names. */
  readonly stream: string | undefined;
  /** The log holds as much as it may: the events wait in their table. */
  readonly isLogFull: () => boolean;
}

/**
 * A sink that appends to the log, durably. An event whose payload is not JSON that pipelines can hand on, or whose stream no configuration
 * can name, fails alone: the relay parks it beside its outbox.
 */
export function outboxFeed({ log, stream, isLogFull }: FeedParts): Sink<OutboxRecord> {
  const inner = logSink(log);
  return {
    idempotent: true,
    atomic: true,
    async write(records, context) {
      if (isLogFull()) {
        const message = 'the log holds log.maxBytes: the events wait in their table until pipelines have made room';
        throw failure(message, { code: 'LOG_FULL', class: 'transient' });
      }
      const problems = records.map(
        (record) => problemOf(record.payload) ?? (stream === undefined ? streamProblem(record.stream) : undefined),
      );
      const good = records.filter((_, index) => problems[index] === undefined);
      if (good.length > 0)
        await inner.write(stream === undefined ? good : good.map((record) => ({ ...record, stream })), context);
      return good.length === records.length ? undefined : problems;
    },
  };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function problemOf(payload: Uint8Array): Error | undefined {
  try {
    JSON.parse(utf8.decode(payload));
  } catch (cause) {
    // Its message would quote the payload.
    return invalid('the payload of an event must be JSON: pipelines read nothing else', cause);
  }
  const problem = textProblem(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength));
  return problem === undefined ? undefined : invalid(`the payload of an event must be text throughout: ${problem}`);
}

/** No pipeline could ever read it. */
function streamProblem(stream: string): Error | undefined {
  const { error } = name.safeParse(stream);
  return error === undefined
    ? undefined
    : invalid(`no configuration can name the stream of the event: ${error.issues[0]!.message}`);
}

function invalid(message: string, cause?: unknown): Error {
  return failure(message, { code: 'INVALID_VALUE', class: 'permanent', cause });
}
