/** write: one batch, one transaction: the quick way first, and where rows are refused the way that names them. */

import type { PoolClient } from 'pg';
import type { SinkContext } from '../core/dispatcher.js';
import { failure, type SluiceError } from '../core/errors.js';
import { alteredMark, guard } from './catalogue.js';
import { isServerError } from './classify.js';
import { atStart, type Copies, copyIn, mark } from './copy.js';
import { isAboutRows, isolateRows } from './isolate.js';
import type { BeforeCommit, PostgresSinkOptions } from './options.js';
import type { Encoded, Plan } from './plan.js';
import { type Expectation, straightFailure } from './straight.js';

/** Why each item failed, by its index in the batch; empty when all are written. */
export type Failures = ReadonlyMap<number, SluiceError>;

/** A batch on its way, and how far it has come. */
export interface Work<T> {
  readonly items: readonly T[];
  readonly context: SinkContext;
  readonly badRows: NonNullable<PostgresSinkOptions<T>['badRows']>;
  readonly beforeCommit: BeforeCommit<T> | undefined;
  readonly commitWith: PostgresSinkOptions<T>['commitWith'];
  /** Everything up to the end of the transaction was handed to the socket: from here on the server may commit without us. */
  commitSent: boolean;
  /** How often bad rows were taken out. */
  isolations: number;
  /** Whether batches may be all new, by those before; shared by the batches of a sink. */
  readonly expectation: Expectation;
  /** The server said that the table is not as it was planned for; the batch may be written all the same. */
  isStale: boolean;
}

/** Writes a batch in a transaction of its own. */
export async function writeBatch<T>(client: PoolClient, plan: Plan<T>, work: Work<T>): Promise<Failures> {
  try {
    return await writeRows(client, plan, work);
  } catch (thrown) {
    throw thrown instanceof NoRowsFault ? thrown.thrown : thrown;
  }
}

/** What was added to the transaction of the rows failed, not they. A class, to be told from all that a server or a user may throw. */
class NoRowsFault {
  constructor(readonly thrown: unknown) {}
}

async function writeRows<T>(client: PoolClient, plan: Plan<T>, work: Work<T>): Promise<Failures> {
  const batch = encodeUpToHalt(plan, work);
  const { tried, refused, by } = batch;
  const { rows } = batch.source;
  const failures = new Map([...refused, ...haltedFrom(work, tried)]);
  if (rows === 0 && work.beforeCommit === undefined) return failures;
  let firstWasStraight = goesStraight(plan, batch, work);
  let first: unknown;
  for (;;) {
    try {
      await writeQuickly(client, plan, batch, work, failures, firstWasStraight);
      return failures;
    } catch (thrown) {
      if (rows === 0 || !isServerError(thrown)) throw thrown;
      const onceMore = firstWasStraight && goesOnceMore(thrown, work);
      if (!onceMore && !mayIsolate(thrown, work)) throw thrown;
      // The server said so itself: nothing is committed.
      work.commitSent = false;
      first = thrown;
      if (!onceMore) break;
      firstWasStraight = false;
    }
  }
  const batchWith = { ...batch, firstWasStraight };
  try {
    return await inTransaction(client, work, (before) =>
      isolated(client, plan, work, batchWith, before, by.method === 'copy' ? first : undefined),
    );
  } catch (thrown) {
    // All rows were taken, and the transaction was not: a deferred constraint.
    if (!mayIsolate(thrown, work)) throw thrown;
  }
  return inTransaction(client, work, (before) => isolated(client, plan, work, batchWith, before, 'atCommit'));
}

/** Whether the batch may pass the stage by, and is worth it. */
function goesStraight<T>({ statements }: Plan<T>, { by, source }: Encoded, { expectation }: Work<T>): boolean {
  return statements.straight !== undefined && by.method === 'copy' && source.rows > 0 && expectation.isNew;
}

/** Whether a batch that failed on its straight way is to go the usual one. */
function goesOnceMore<T>(thrown: unknown, work: Work<T>): boolean {
  const said = straightFailure(thrown);
  if (said === 'stale') work.isStale = true;
  if (said !== 'stale' && said !== 'usualWay') return false;
  work.expectation.wereNot();
  return true;
}

/** All rows at once, in a transaction that ends with them. */
async function writeQuickly<T>(
  client: PoolClient,
  plan: Plan<T>,
  batch: Tried,
  work: Work<T>,
  failures: Failures,
  straight: boolean,
): Promise<void> {
  const { by, source } = batch;
  const alongside = textAlongside(work, failures);
  let taken: number | undefined;
  // A statement with parameters travels alone.
  if (work.beforeCommit === undefined && (alongside === undefined || by.method === 'copy'))
    taken = await sendAlone(client, plan, batch, work, alongside, straight);
  else
    await inTransaction(client, work, async (before) => {
      taken = await send(client, plan, batch, before, straight);
      return failures;
    });
  if (straight) work.expectation.wereNew();
  else if (taken !== undefined) work.expectation.merged(taken === source.rows);
}

/** Writes a batch inside a transaction that the caller has begun, and leaves it open. */
export async function writeWithin<T>(client: PoolClient, plan: Plan<T>, work: Work<T>): Promise<Failures> {
  const batch = encodeUpToHalt(plan, work);
  const { tried, refused, by } = batch;
  const { rows } = batch.source;
  const failures = new Map([...refused, ...haltedFrom(work, tried)]);
  if (rows === 0) return failures;
  const savepoint = 'SAVEPOINT sluice_write';
  try {
    await send(client, plan, batch, [savepoint], false);
    await client.query('RELEASE SAVEPOINT sluice_write');
    return failures;
  } catch (thrown) {
    await client.query('ROLLBACK TO SAVEPOINT sluice_write').catch(() => Promise.reject(thrown));
    if (!mayIsolate(thrown, work)) throw thrown;
    try {
      const all = await isolated(client, plan, work, batch, [savepoint], by.method === 'copy' ? thrown : undefined);
      await client.query('RELEASE SAVEPOINT sluice_write');
      return all;
    } catch (problem) {
      await client.query('ROLLBACK TO SAVEPOINT sluice_write').catch(() => {});
      throw problem;
    }
  }
}

/** Items from `tried` on are not in it. */
interface Tried extends Encoded {
  readonly tried: number;
  /** Its first attempt passed the stage by. */
  readonly firstWasStraight?: boolean;
}

/** With `halt`, nothing behind an item that cannot even be sent is sent. */
function encodeUpToHalt<T>(plan: Plan<T>, { items, badRows }: Work<T>): Tried {
  const encoded = plan.encode(items);
  const [firstRefused] = encoded.refused.keys();
  if (badRows !== 'halt' || firstRefused === undefined) return { ...encoded, tried: items.length };
  const tried = firstRefused + 1;
  return { ...plan.encode(items.slice(0, tried)), tried };
}

function haltedFrom<T>({ items }: Work<T>, from: number): readonly (readonly [number, SluiceError])[] {
  return Array.from({ length: Math.max(0, items.length - from) }, (_, at) => [from + at, halted] as const);
}

const halted = failure('an item before it in its batch was refused, and the sink halts there; it was not tried.', {
  code: 'HALTED',
  class: 'rejected',
});

function mayIsolate<T>(thrown: unknown, { badRows }: Work<T>): boolean {
  return badRows !== 'refuse' && isAboutRows(thrown);
}

/**
 * Without BEGIN and COMMIT the server takes the statements as one unit: a failure needs no ROLLBACK, and a batch one round trip.
 * Answers how many rows were taken from the stage, if there is one.
 */
async function sendAlone<T>(
  client: PoolClient,
  plan: Plan<T>,
  batch: Encoded,
  work: Work<T>,
  alongside: string | undefined,
  straight: boolean,
): Promise<number | undefined> {
  const { by } = batch;
  if (by.method === 'copy') {
    const { statements, ...copies } = copiesOf(plan, batch, by, 'commits', straight);
    const progress = Object.assign(work, atStart());
    const sql = joined([...statements, ...(alongside === undefined ? [] : [alongside, mark])]);
    try {
      await copyIn(client, { ...copies, sql }, progress);
    } catch (thrown) {
      // Behind the mark there is only the commit, at which deferred constraints of the rows fail.
      const isAlongside = alongside !== undefined && progress.tags.length >= statements.length && !progress.marked;
      throw isAlongside && isServerError(thrown) ? new NoRowsFault(thrown) : thrown;
    }
    return takenBy(progress.tags[statements.length - 1]);
  }
  work.commitSent = true;
  await client.query(plan.statements.insertArrays, [...by.values]);
  return undefined;
}

/** Sends the rows behind the statements that open the transaction, or a savepoint in it. Answers as {@link sendAlone} does. */
async function send<T>(
  client: PoolClient,
  plan: Plan<T>,
  batch: Encoded,
  before: readonly string[],
  straight: boolean,
): Promise<number | undefined> {
  const { by } = batch;
  if (by.method === 'copy' && batch.source.rows > 0) {
    const { statements, ...copies } = copiesOf(plan, batch, by, 'continues', straight);
    const progress = atStart();
    await copyIn(client, { ...copies, sql: joined([...before, ...statements]) }, progress);
    return takenBy(progress.tags.at(-1));
  }
  await client.query(before.join('; '));
  if (by.method === 'insert' && batch.source.rows > 0) await client.query(plan.statements.insertArrays, [...by.values]);
  return undefined;
}

/** The rows that the last statement, the merge, has taken: of a key that exists, none. */
function takenBy(tag: string | undefined): number | undefined {
  const taken = /^INSERT 0 (\d+)$/.exec(tag ?? '')?.[1];
  return taken === undefined ? undefined : Number(taken);
}

function copiesOf<T>(
  plan: Plan<T>,
  { source }: Encoded,
  { chunks }: Encoded['by'] & { readonly method: 'copy' },
  ending: 'commits' | 'continues',
  goesStraight: boolean,
): Omit<Copies, 'sql'> & { readonly statements: readonly string[] } {
  const { stage, straight, copyBinary } = plan.statements;
  const copies = { parts: [chunks], ending };
  const isBinary = source.copy === copyBinary;
  if (goesStraight && straight !== undefined)
    return { ...copies, statements: [isBinary ? straight.copyBinary : straight.copyText, straight.guard] };
  // Bytes of another type would not always be refused: eight of them are a bigint as well as a time.
  if (stage === undefined)
    return { ...copies, statements: [...(isBinary ? [guard([plan.table.unaltered, alteredMark])] : []), source.copy] };
  // In an open transaction an earlier batch may have left its rows in the stage.
  const clear = ending === 'continues' ? [stage.clear] : [];
  return { ...copies, statements: [stage.create, ...clear, source.copy, stage.merge] };
}

/** Each semicolon on a line of its own: what a user added may end with a comment. */
function joined(statements: readonly string[]): string {
  return statements.join('\n; ');
}

/** The rows, `beforeCommit`, COMMIT; all of it or nothing. `rows` sends BEGIN, together with whatever it sends first. */
async function inTransaction<T>(
  client: PoolClient,
  work: Work<T>,
  rows: (before: readonly string[]) => Promise<Failures>,
): Promise<Failures> {
  try {
    const failures = await rows(['BEGIN']);
    const last = await beforeCommit(client, work, failures);
    const added = [last, textAlongside(work, failures)].filter((text) => text !== undefined);
    work.commitSent = true;
    if (added.length === 0) await client.query('COMMIT');
    else await commitBehind(client, added);
    return failures;
  } catch (thrown) {
    const answered = await client.query('ROLLBACK').then(
      () => true,
      () => false,
    );
    if (answered) work.commitSent = false;
    throw thrown;
  }
}

async function beforeCommit<T>(client: PoolClient, work: Work<T>, failures: Failures): Promise<string | undefined> {
  const { beforeCommit: hook, items, context } = work;
  if (hook === undefined) return undefined;
  const list = failures.size === 0 ? undefined : items.map((_, index) => failures.get(index));
  try {
    return await hook(client, { items, context, failures: list });
  } catch (thrown) {
    throw new NoRowsFault(thrown);
  }
}

async function commitBehind(client: PoolClient, added: readonly string[]): Promise<void> {
  const progress = atStart();
  try {
    await copyIn(client, { sql: joined([...added, mark, 'COMMIT']), parts: [], ending: 'continues' }, progress);
  } catch (thrown) {
    throw !progress.marked && isServerError(thrown) ? new NoRowsFault(thrown) : thrown;
  }
}

function textAlongside<T>({ commitWith, items, context }: Work<T>, failures: Failures): string | undefined {
  const list = failures.size === 0 ? undefined : items.map((_, index) => failures.get(index));
  return commitWith?.({ items, context, failures: list });
}

/** The failures of a batch whose bad rows are taken out, by index in the batch. */
async function isolated<T>(
  client: PoolClient,
  plan: Plan<T>,
  work: Work<T>,
  { source, refused, tried, firstWasStraight = false }: Tried,
  before: readonly string[],
  first: unknown,
): Promise<Failures> {
  work.isolations = 1;
  const halt = work.badRows === 'halt';
  const { failures, haltedAt } = await isolateRows(client, plan, {
    before,
    source,
    halt,
    first: first === 'atCommit' ? undefined : first,
    firstWasStraight,
    atCommit: first === 'atCommit',
  });
  const itemOf: number[] = [];
  for (let index = 0; index < tried; index++) if (!refused.has(index)) itemOf.push(index);
  const from = haltedAt === undefined ? tried : itemOf[haltedAt - 1]! + 1;
  const all = new Map([...refused].filter(([index]) => index < from));
  for (const [row, problem] of failures) all.set(itemOf[row]!, problem);
  for (const [index, problem] of haltedFrom(work, from)) all.set(index, problem);
  return all;
}
