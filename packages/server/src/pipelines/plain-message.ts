/**
 * Plain message: what of a failure may be said where payloads may not be: in the log of the service, and to whoever asks whether it is
 * ready. A receiver may repeat what it was sent, PostgreSQL names the values of a bad row, and a handler throws what it likes.
 */

/** Failures whose message the library makes, of names and numbers alone. */
const plainCodes = new Set([
  ...[
    'BREAKER_OPEN',
    'CLOSED',
    'COLUMN_MISMATCH',
    'CRASH_LOOP',
    'DEAD_LETTERS_FULL',
    'FENCED',
    'LEDGER_AHEAD',
    'LEDGER_FENCED',
    'LOG_CORRUPT',
  ],
  ...[
    'LOG_FULL',
    'LOG_STOPPED',
    'OUTBOX_RESTORED',
    'OVERLOADED',
    'PG_CONNECTION',
    'SHUTDOWN_TIMEOUT',
    'STORE_FAILED',
    'TIMEOUT',
    'UNREACHABLE',
  ],
]);

/** Of PostgreSQL: connections, credentials, names, resources, operators. The classes 22 and 23 are about the data of a row. */
const plainStates = /^PG_(08|28|3D|3F|42|53|55|57|58)[0-9A-Z]{3}$/;

/** The message of a failure without what may be a payload; whole where it cannot be one. `where` says who has it. */
export function plainMessage(
  failure: { readonly code: string; readonly message: string; readonly class?: string },
  where = '/v1/pipelines of the control plane has its message',
): string {
  const { code, message } = failure;
  // A row's own refusal: the text of its trigger.
  const isOfRow = code === 'PG_42501' && failure.class === 'permanent';
  if (plainCodes.has(code) || (plainStates.test(code) && !isOfRow)) return message;
  if (code === 'HTTP_STATUS') return message.split(':', 1)[0]!;
  return `${code}; ${where}`;
}
