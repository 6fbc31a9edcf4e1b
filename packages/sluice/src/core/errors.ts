/** Errors: one class with a stable `code`, a failure `class` that says what may be done about it, and a `cause`. */

/**
 * What may be done about a failure.
 *
 * - `transient`: trying again may help.
 * - `permanent`: trying the same again cannot help.
 * - `rejected`: it was never tried.
 * - `unknown`: it may have happened (timeouts, lost replies); tried again only where the sink is idempotent.
 * - `blocked`: credentials, configuration, a missing table. Reads fail at once; writes hold, alarm and probe.
 */
export type FailureClass = 'transient' | 'permanent' | 'rejected' | 'unknown' | 'blocked';

/** The stable error codes. They are public: code may switch on them. */
export type ErrorCode =
  | 'BAD_RESPONSE'
  | 'BAD_RESULT'
  | 'BREAKER_OPEN'
  | 'CANCELLED'
  | 'CLOSED'
  | 'COLUMN_MISMATCH'
  | 'DEAD_LETTERS_FULL'
  | 'DUPLICATE_IN_FLIGHT'
  | 'DEPENDENCY_CYCLE'
  | 'FAILED'
  | 'HALTED'
  | 'INVALID_KEY'
  | 'INVALID_OPTION'
  | 'INVALID_VALUE'
  | 'ITEM_TOO_LARGE'
  | 'KEY_NOT_FOUND'
  | 'KEY_TOO_LONG'
  | 'LOG_STOPPED'
  | 'OVERLOADED'
  | 'RESULT_LENGTH_MISMATCH'
  | 'RETRY_BUDGET'
  | 'RETRY_OVERFLOW'
  | 'SHUTDOWN_TIMEOUT'
  | 'STORE_FAILED'
  | 'TIMEOUT'
  | (string & {});

/** What {@link failure} and {@link SluiceError} take beside the message. */
export interface FailureOptions {
  /** Stable name of the failure. Default `'FAILED'`. */
  readonly code?: ErrorCode;
  /** What may be done about it. Default `'permanent'`. */
  readonly class?: FailureClass;
  /** The error beneath this one. */
  readonly cause?: unknown;
  /** Earliest retry, in milliseconds from now, as the other side asked (`Retry-After`). A floor for the back-off. */
  readonly retryAfterMs?: number;
  /** The key or item that it is about. Keys are shortened in messages, never here. */
  readonly key?: unknown;
  /** Where the item was parked, if it was. */
  readonly deadLetterId?: string;
}

/** Every error that Sluice makes. Test `code`, not the message. */
export class SluiceError extends Error {
  readonly code: ErrorCode;
  readonly class: FailureClass;
  // Declared, not defined: a printed error shows only what it has.
  declare readonly retryAfterMs?: number;
  declare readonly key?: unknown;
  /** Where the item was parked, when it became a dead letter. */
  declare readonly deadLetterId?: string;

  constructor(message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SluiceError';
    this.code = options.code ?? 'FAILED';
    this.class = options.class ?? 'permanent';
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs;
    if (options.key !== undefined) this.key = options.key;
    if (options.deadLetterId !== undefined) this.deadLetterId = options.deadLetterId;
  }
}

/**
 * A failure to return for one item, or to throw for a whole batch.
 *
 * An `Error` keeps its own `class`, `code` and `retryAfterMs` where it has them, and becomes the `cause`.
 *
 * @example
 * return ids.map((id) => rows.get(id) ?? failure(`no user ${id}`, { code: 'KEY_NOT_FOUND' }));
 */
export function failure(problem: string | Error, options: FailureOptions = {}): SluiceError {
  if (typeof problem === 'string') return new SluiceError(problem, options);
  return asFailure(problem, options.class ?? 'permanent', options);
}

/** Any thrown or returned value as a {@link SluiceError}; what it says of its own class is believed, else `fallback`. */
export function asFailure(thrown: unknown, fallback: FailureClass, options: FailureOptions = {}): SluiceError {
  try {
    return read(thrown, fallback, options);
  } catch {
    // A getter of it that throws, or a revoked proxy: whoever waits has to be told all the same.
    const message = 'a value was thrown that cannot be read: one of its getters throws';
    return new SluiceError(message, { ...options, class: options.class ?? fallback, cause: options.cause ?? thrown });
  }
}

function read(thrown: unknown, fallback: FailureClass, options: FailureOptions): SluiceError {
  if (thrown instanceof SluiceError && Object.keys(options).length === 0) return thrown;
  const claims = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Partial<SluiceError>;
  const retryAfterMs = options.retryAfterMs ?? (typeof claims.retryAfterMs === 'number' ? claims.retryAfterMs : undefined);
  return new SluiceError(
    thrown instanceof Error ? thrown.message : `a value that is not an Error was thrown: ${shorten(thrown)}`,
    {
      code: options.code ?? (typeof claims.code === 'string' ? claims.code : 'FAILED'),
      class: options.class ?? (isFailureClass(claims.class) ? claims.class : fallback),
      cause: options.cause ?? thrown,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      key: options.key ?? (thrown instanceof SluiceError ? thrown.key : undefined),
      ...(options.deadLetterId === undefined ? {} : { deadLetterId: options.deadLetterId }),
    },
  );
}

/** A wrong option: what was expected, what was got, what to do. Thrown at construction. */
export function invalidOption(message: string): SluiceError {
  return new SluiceError(message, { code: 'INVALID_OPTION', class: 'rejected' });
}

/** The text of a value for a message, at most 60 characters long: keys may be long, and may be secrets. */
export function shorten(value: unknown): string {
  let text: string;
  try {
    text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  } catch {
    text = typeof value;
  }
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`;
}

const classes: readonly string[] = ['transient', 'permanent', 'rejected', 'unknown', 'blocked'];

function isFailureClass(value: unknown): value is FailureClass {
  return typeof value === 'string' && classes.includes(value);
}
