/** errors-page: each error code with its classes and one sentence, and what each class allows. */

import { cell } from './comment.js';
import { commentBefore, type Module, type Node } from './exported.js';

/** What a code means. */
interface Meaning {
  readonly classes: string;
  readonly text: string;
}

/** Each code of the library. `PG_…` stands for those that carry a code of PostgreSQL. */
const meanings: Readonly<Record<string, Meaning>> = {
  BAD_ITEM: { classes: 'permanent', text: 'A simulated sink refuses this item.' },
  BAD_RESPONSE: {
    classes: 'permanent',
    text: 'The reply of a read is too large, is no JSON, or is no object of keys and numbers.',
  },
  BAD_RESULT: {
    classes: 'unknown (sinks), permanent (batch functions)',
    text: 'A sink or a batch function returned something that is none of its allowed results.',
  },
  BREAKER_OPEN: { classes: 'rejected', text: 'Not sent: the breaker is open; `retryAfterMs` says when it is probed.' },
  BYTES_UNMEASURED: {
    classes: '–',
    text: 'No error: an event warns of a bound in bytes that bounds nothing, for there is no `bytesOf`.',
  },
  CANCELLED: {
    classes: 'rejected (not sent), unknown (the call had begun)',
    text: 'The caller left: its signal was aborted, or it cancelled the request.',
  },
  CLOSED: { classes: 'rejected', text: 'The loader, batcher, log or sink is closed and accepts nothing more.' },
  CLOSE_FAILED: {
    classes: 'unknown',
    text: 'The batcher has drained, but its sink could not be closed; the error holds the report of the drain.',
  },
  CRASH_LOOP: {
    classes: 'transient',
    text: 'Many starts of a partition ended in a crash within a short time; the consumer waits a while before it reads it again.',
  },
  COLUMN_MISMATCH: {
    classes: 'blocked',
    text: 'The table and the options of the sink do not fit: a column is missing, of another type, or cannot be written, or no unique key serves.',
  },
  DEAD_LETTERS_FULL: {
    classes: 'rejected',
    text: 'The store of dead letters holds all it may; the items keep their own failures, and a consumer of a log holds them.',
  },
  DEPENDENCY_CYCLE: {
    classes: 'permanent',
    text: 'A batch function loads what waits for it: the key itself, or a slot that it holds.',
  },
  DOWN: { classes: 'transient', text: 'A simulated sink has an outage.' },
  DROPPED: { classes: 'rejected', text: 'Dropped, never sent: the batcher was full, and its overflow policy chose this item.' },
  DUPLICATE_IN_FLIGHT: { classes: 'rejected', text: 'Not sent: an item with the same idempotency key is on its way elsewhere.' },
  FAILED: { classes: 'any', text: 'A failure that names no code of its own; its `cause` says more.' },
  FENCED: {
    classes: 'rejected',
    text: 'A consumer group has another owner in this partition now, or was put elsewhere; nothing was moved.',
  },
  HALTED: {
    classes: 'rejected',
    text: 'Not sent: an item before it failed for good, and strict order lets nothing pass that.',
  },
  HTTP_STATUS: {
    classes: 'transient (408, 425, 429, 5xx), blocked (401, 403, 404), permanent (others)',
    text: 'The backend answered with a status that is no success.',
  },
  INVALID_KEY: {
    classes: 'rejected',
    text: 'The key cannot be asked for: it is not of the kind that is expected, or a function of yours threw on it.',
  },
  INVALID_OPTION: {
    classes: 'rejected',
    text: 'An option is unknown, of the wrong type or out of range; thrown when something is made or called.',
  },
  INVALID_VALUE: {
    classes: 'permanent, rejected (events for the log)',
    text: 'A value cannot be used: a read brought no finite number, a column cannot hold it, or an event for the log is out of its limits.',
  },
  INVARIANT_BROKEN: { classes: 'permanent', text: 'A simulation has found broken promises; the message lists them.' },
  ITEM_TOO_LARGE: {
    classes: 'rejected, permanent (a row)',
    text: 'An item, or an append, is larger alone than all that may be held, or a row larger than `maxRowBytes`.',
  },
  KEY_NOT_FOUND: { classes: 'permanent', text: 'The batch answered, and has no value for this key.' },
  KEY_TOO_LONG: { classes: 'rejected', text: 'The key alone would make the URL longer than `maxUrlBytes`.' },
  LEDGER_AHEAD: {
    classes: 'blocked',
    text: 'Not written: the ledger has settled offsets that the log does not have, as after a restore from a backup. The message says what to do.',
  },
  LEDGER_FENCED: {
    classes: 'blocked',
    text: 'Not written: another owner has taken the partition over. The records are safe in the log.',
  },
  LOG_CORRUPT: {
    classes: 'blocked, permanent (one chunk)',
    text: 'What lies in the folder of the log, or a chunk of it, is damaged or is no log.',
  },
  LOG_FULL: { classes: 'rejected', text: 'The disk has no room for events; nothing of this append was stored.' },
  LOG_IN_USE: { classes: 'blocked', text: 'Another process, or another log of this one, has the store open for writing.' },
  LONG_WINDOW: { classes: '–', text: 'No error: an event warns of a window for which items wait an hour or more in memory.' },
  LOG_STOPPED: {
    classes: 'rejected, unknown (appends on their way)',
    text: 'The log has stopped after a failed or overdue write to disk, and must be opened anew.',
  },
  LOG_UNWRITABLE: { classes: 'blocked', text: 'The folder of the log cannot be written to.' },
  LOG_VERSION: { classes: 'blocked', text: 'The log was written by another version of the format.' },
  OUTBOX_RESTORED: {
    classes: 'blocked',
    text: 'The outbox was restored from a dump into a server with younger transaction numbers: run `migrate`.',
  },
  OVERLOADED: { classes: 'rejected', text: 'All that may be held or may wait is there already: try again a little later.' },
  PG_CONNECTION: {
    classes: 'transient, blocked (password, certificate), unknown (the commit was sent)',
    text: 'The connection to PostgreSQL failed, and the server said nothing.',
  },
  'PG_…': { classes: 'by its state', text: 'PostgreSQL refused: `PG_` and the SQLSTATE, such as `PG_23514`.' },
  RATE_LIMITED: { classes: 'transient', text: 'A simulated sink was called faster than its model allows.' },
  POISON: {
    classes: 'permanent',
    text: 'The process died several times while this record was in flight, the last time alone; it is parked without another call.',
  },
  RESULT_LENGTH_MISMATCH: {
    classes: 'unknown (sinks), permanent (batch functions)',
    text: 'The result has another number of entries than the batch has items.',
  },
  RETRY_BUDGET: { classes: 'as the last failure', text: 'Given up without a further try: the retry budget is used up.' },
  RETRY_OVERFLOW: { classes: 'as the last failure', text: 'Given up without a further try: too many batches wait for a retry.' },
  SHUTDOWN_TIMEOUT: {
    classes: 'rejected (not sent), unknown (sent, not answered)',
    text: 'The item was not settled when the deadline of `close` had passed.',
  },
  SIMULATED: { classes: 'as the model says', text: 'A simulated sink fails a call by chance.' },
  STORE_FAILED: { classes: 'rejected', text: 'A store of idempotency keys or dead letters failed or did not answer in time.' },
  TIMEOUT: {
    classes: 'unknown (the call had begun), rejected (not sent)',
    text: 'No answer in time; if the call had begun, it may have happened all the same.',
  },
  UNREACHABLE: { classes: 'transient', text: 'The backend could not be reached, or its answer broke off.' },
  URL_TOO_LONG: { classes: 'permanent', text: 'The backend answered 414 or 431 though one key alone was asked for.' },
};

/** The codes that the page describes. */
export const describedCodes: readonly string[] = Object.keys(meanings);

/** The page of the errors, as Markdown. */
export function errorsPage(module: Module): string {
  const rows = Object.entries(meanings)
    .sort(([a], [b]) => Number(a > b) - Number(a < b))
    .map(([code, { classes, text }]) => `| \`${code}\` | ${classes} | ${cell(text)} |`);
  const intro =
    'Every error of the library is a [`SluiceError`](sluice.md#sluiceerror) with a stable `code`. Code may switch on it; messages may change.';
  const own = 'Sinks and batch functions may use codes of their own; an error that they throw keeps its `code` and `class`.';
  const codes = ['| code | class | what happened |', '|---|---|---|', ...rows].join('\n');
  const classes = commentBefore(module, statementOf(module, 'FailureClass').start);
  return `${['# Errors', intro, '## Classes', classes, '## Codes', own, codes].join('\n\n')}\n`;
}

/** The codes that `ErrorCode` names. */
export function declaredCodes(module: Module): string[] {
  const { types } = (statementOf(module, 'ErrorCode').declaration as { typeAnnotation: { types: readonly Node[] } })
    .typeAnnotation;
  return types.flatMap((node) => (node.type === 'TSLiteralType' ? [(node.literal as { value: string }).value] : []));
}

function statementOf({ path, body }: Module, name: string): Node {
  const found = body.find(({ declaration }) => (declaration as { id?: { name: string } } | null | undefined)?.id?.name === name);
  if (found === undefined) throw new Error(`${path} declares no ${name}`);
  return found;
}
