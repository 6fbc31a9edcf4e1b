/** classify: what a failure of PostgreSQL, or of the way to it, allows us to do next. Pure. */

import { type FailureClass, failure, SluiceError } from '../core/errors.js';

/** How far a write had come when it failed. */
export interface WriteProgress {
  /** Everything up to the end of the COPY was handed to the socket: from here on the server may commit without us. */
  commitSent: boolean;
}

/**
 * A failure of PostgreSQL as a {@link SluiceError} with code `PG_<SQLSTATE>`, or `PG_CONNECTION` where the server said nothing.
 *
 * The class follows the SQLSTATE (Appendix A of the PostgreSQL manual): connection, resource, conflict and shutdown states are
 * `transient`; credentials, privileges and wrong names or types of the statement are `blocked`; data and constraint errors, rows
 * that a row-level security policy refuses or a trigger by RAISE, and any state not listed, are `permanent`. A connection that is lost once the commit was
 * sent is `unknown`.
 *
 * The message holds PostgreSQL's own message and where it happened, shortened; never the detail, which holds the row.
 */
export function classifyPostgresError(thrown: unknown, progress: WriteProgress = { commitSent: false }): SluiceError {
  if (thrown instanceof SluiceError) return thrown;
  const claims = asClaims(thrown);
  if (poolsByStatement.test(claims.message)) return poolerFailure(thrown);
  const state = sqlState(claims);
  if (state === undefined) return connectionFailure(thrown, claims, progress);
  const lost = progress.commitSent && endsSession(state);
  const failureClass = lost ? 'unknown' : isRefusedRow(state, claims) ? 'permanent' : classOfState(state);
  const position = placeOf(claims.where);
  const text = `PostgreSQL: ${shortened(claims.message, 300)}${position === '' ? '' : ` (${position})`}`;
  return failure(`${text}${lost ? mayBeWritten : ''}`, { code: `PG_${state}`, class: failureClass, cause: thrown });
}

/** Whether the server itself answered with an error; the connection may then still be good. */
export function isServerError(thrown: unknown): boolean {
  return sqlState(asClaims(thrown)) !== undefined;
}

/** The members of an error of `pg` that matter here. */
interface Claims {
  readonly message: string;
  readonly code?: unknown;
  readonly severity?: unknown;
  readonly where?: unknown;
  readonly routine?: unknown;
}

const mayBeWritten = '; the connection was lost after the commit was sent, so the rows may have been written';

function asClaims(thrown: unknown): Claims {
  return typeof thrown === 'object' && thrown !== null ? (thrown as Claims) : { message: String(thrown) };
}

/** Codes of Node (`EPIPE`) have five letters as well: only what carries a severity came from the server. */
function sqlState(claims: Claims): string | undefined {
  const { code, severity } = claims;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && typeof severity === 'string' ? code : undefined;
}

/** First match wins: a whole state before its two-letter class. */
const classByState: readonly (readonly [prefix: string, FailureClass])[] = [
  ['08007', 'unknown'], // transaction resolution unknown
  ['08', 'transient'],
  ['0A', 'blocked'], // feature not supported
  ['25006', 'transient'], // read only: a fail-over under way
  ['25', 'transient'],
  ['26', 'blocked'], // a prepared statement that the session lacks: no row is to blame
  ['28', 'blocked'],
  ['3D', 'blocked'],
  ['3F', 'blocked'],
  ['40002', 'permanent'], // a deferred constraint, reported at commit
  ['40003', 'unknown'], // statement completion unknown
  ['40', 'transient'],
  ['42', 'blocked'], // missing table or column, privilege, wrong type: the statement is wrong, not the row
  ['53', 'transient'],
  ['55', 'transient'],
  ['57', 'transient'],
  ['58', 'transient'],
  ['72', 'transient'],
  ['F0', 'transient'],
  ['XX', 'transient'],
];

/** A regular expression, as PostgreSQL reads it, for the states that are `permanent`. */
export const permanentStates = `^(${classByState
  .filter(([, failureClass]) => failureClass === 'permanent')
  .map(([prefix]) => `${prefix}|`)
  .join('')}(?!${classByState
  .filter(([, failureClass]) => failureClass !== 'permanent')
  .map(([prefix]) => prefix)
  .join('|')}))`;

function classOfState(state: string): FailureClass {
  return classByState.find(([prefix]) => state.startsWith(prefix))?.[1] ?? 'permanent';
}

/** The state of a missing right, and also of a row that a policy or a trigger refuses: only the function that reports it tells them apart. */
export const policyState = '42501';

/**
 * The functions of PostgreSQL that speak of a row: the one that checks it against policies (execMain.c), and RAISE, with which a trigger
 * refuses it in its author's words (pl_exec.c). The message of the first is in the server's language.
 */
const rowRoutines: readonly unknown[] = ['ExecWithCheckOptions', 'exec_stmt_raise'];

function isRefusedRow(state: string, { routine }: Claims): boolean {
  return state === policyState && rowRoutines.includes(routine);
}

/** States after which the server ends the session, so that its last word on a commit may never reach us. */
function endsSession(state: string): boolean {
  return state.startsWith('08') || state.startsWith('57P0') || state === '57P05' || state.startsWith('XX');
}

function connectionFailure(thrown: unknown, claims: Claims, progress: WriteProgress): SluiceError {
  const message = shortened(innermostMessage(thrown, claims), 300);
  const options = { code: 'PG_CONNECTION', cause: thrown } as const;
  if (progress.commitSent) return failure(`PostgreSQL: ${message}${mayBeWritten}`, { ...options, class: 'unknown' });
  const refused = /^SASL|password must be a string/.test(message) || /CERT|SELF_SIGNED|ERR_TLS/.test(String(claims.code ?? ''));
  return failure(`no connection to PostgreSQL: ${message}`, { ...options, class: refused ? 'blocked' : 'transient' });
}

/** PgBouncer reports it with the state of any trouble of its own, 08P01. */
const poolsByStatement = /^transaction blocks not allowed in statement pooling mode/;

function poolerFailure(cause: unknown): SluiceError {
  return failure(
    'the pooler lends connections by statement, and a batch is a transaction: "transaction blocks not allowed in statement pooling mode"; set pool_mode = transaction, or session.',
    { code: 'PG_08P01', class: 'blocked', cause },
  );
}

/** An attempt on several addresses fails with an AggregateError whose own message is empty. */
function innermostMessage(thrown: unknown, claims: Claims): string {
  if (thrown instanceof AggregateError && claims.message === '') {
    return thrown.errors.map((error: unknown) => asClaims(error).message).join('; ');
  }
  return claims.message;
}

/** `where` without the value that PostgreSQL quotes in it: `COPY events, line 3, column payload`. */
function placeOf(where: unknown): string {
  if (typeof where !== 'string') return '';
  const copy = /^COPY .+?, line \d+(, column [^:"]+)?/m.exec(where);
  return copy === null ? shortened(where, 120) : shortened(copy[0], 160);
}

function shortened(text: unknown, length: number): string {
  const line = String(text ?? 'no reason given').split('\n', 1)[0]!;
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}
