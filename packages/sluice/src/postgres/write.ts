/** write: one batch, one transaction: the quick way first, and where rows are refused the way that names them. */

import type { PoolClient } from 'pg';
import type { SinkContext } from '../core/dispatcher.js';
import { failure, type SluiceError } from '../core/errors.js';
import { copyIn } from './copy.js';
import { isAboutRows, isolateRows } from './isolate.js';
import type { BeforeCommit, PostgresSinkOptions } from './options.js';
import type { Encoded, Plan } from './plan.js';
import { textRows } from './rows.js';

/** Why each item failed, by its index in the batch; empty when all are written. */
export type Failures = ReadonlyMap<number, SluiceError>;

/** A batch on its way, and how far it has come. */
export interface Work<T> {
  readonly items: readonly T[];
  readonly context: SinkContext;
  readonly badRows: NonNullable<PostgresSinkOptions<T>['badRows']>;
  readonly beforeCommit: BeforeCommit<T> | undefined;
  /** Everything up to the end of the transaction was handed to the socket: from here on the server may commit without us. */
  commitSent: boolean;
  /** How often bad rows were taken out. */
  isolations: number;
}

/** Writes a batch in a transaction of its own. */
export async function writeBatch<T>(client: PoolClient, plan: Plan<T>, work: Work<T>): Promise<Failures> {
  const { tried, rows, refused, by } = encodeUpToHalt(plan, work);
  const failures = new Map([...refused, ...haltedFrom(work, tried)]);
  if (rows === 0 && work.beforeCommit === undefined) return failures;
  let first: unknown;
  try {
    if (work.beforeCommit === undefined) await sendAlone(client, plan, by, work);
    else
      await inTransaction(client, work, async () => {
        if (rows > 0) await send(client, plan, by, { commitSent: false, begun: 0 });
        return failures;
      });
    return failures;
  } catch (thrown) {
    if (rows === 0 || !mayIsolate(thrown, work)) throw thrown;
    // The server said so itself: nothing is committed.
    work.commitSent = false;
    first = thrown;
  }
  const inCopy = by.method === 'copy';
  try {
    return await inTransaction(client, work, () => isolated(client, plan, work, inCopy ? first : undefined, false));
  } catch (thrown) {
    // All rows were taken, and the transaction was not: a deferred constraint.
    if (!mayIsolate(thrown, work)) throw thrown;
  }
  return inTransaction(client, work, () => isolated(client, plan, work, undefined, true));
}

/** Writes a batch inside a transaction that the caller has begun, and leaves it open. */
export async function writeWithin<T>(client: PoolClient, plan: Plan<T>, work: Work<T>): Promise<Failures> {
  const { tried, rows, refused, by } = encodeUpToHalt(plan, work);
  const failures = new Map([...refused, ...haltedFrom(work, tried)]);
  if (rows === 0) return failures;
  await client.query('SAVEPOINT sluice_write');
  try {
    await send(client, plan, by, { commitSent: false, begun: 0 });
    await client.query('RELEASE SAVEPOINT sluice_write');
    return failures;
  } catch (thrown) {
    await client.query('ROLLBACK TO SAVEPOINT sluice_write').catch(() => Promise.reject(thrown));
    if (!mayIsolate(thrown, work)) throw thrown;
    try {
      const all = await isolated(client, plan, work, by.method === 'copy' ? thrown : undefined, false);
      await client.query('RELEASE SAVEPOINT sluice_write');
      return all;
    } catch (problem) {
      await client.query('ROLLBACK TO SAVEPOINT sluice_write').catch(() => {});
      throw problem;
    }
  }
}

/** With `halt`, nothing behind an item that cannot even be sent is sent. */
function encodeUpToHalt<T>(plan: Plan<T>, { items, badRows }: Work<T>): Encoded & { readonly tried: number } {
  const encoded = plan.encode(items);
  if (badRows !== 'halt' || encoded.refused.size === 0) return { ...encoded, tried: items.length };
  const tried = Math.min(...encoded.refused.keys()) + 1;
  return { ...plan.encode(items.slice(0, tried)), tried };
}

function haltedFrom<T>({ items }: Work<T>, from: number): readonly (readonly [number, SluiceError])[] {
  return Array.from({ length: Math.max(0, items.length - from) }, (_, at) => [from + at, halted] as const);
}

const halted = failure('an item before it in its batch was refused, and the sink halts there; it was not tried.', {
  code: 'HALTED',
  class: 'rejected',
});

/** What `beforeCommit` threw is its own affair: no row is to blame. A class, to be told from all that a server or a user may throw. */
export class HookFailure {
  constructor(readonly thrown: unknown) {}
}

function mayIsolate<T>(thrown: unknown, { badRows }: Work<T>): boolean {
  return badRows !== 'refuse' && isAboutRows(thrown);
}

/** Without BEGIN and COMMIT the server takes the statements as one unit: a failure needs no ROLLBACK, and a batch one round trip. */
async function sendAlone<T>(client: PoolClient, plan: Plan<T>, by: Encoded['by'], work: Work<T>): Promise<void> {
  if (by.method === 'copy') {
    await copyIn(client, copiesOf(plan, by, 'commits'), Object.assign(work, { begun: 0 }));
    return;
  }
  work.commitSent = true;
  await client.query(plan.statements.insertArrays, [...by.values]);
}

async function send<T>(
  client: PoolClient,
  plan: Plan<T>,
  by: Encoded['by'],
  progress: { commitSent: boolean; begun: number },
): Promise<void> {
  if (by.method === 'copy') await copyIn(client, copiesOf(plan, by, 'continues'), progress);
  else await client.query(plan.statements.insertArrays, [...by.values]);
}

function copiesOf<T>(plan: Plan<T>, by: Encoded['by'] & { readonly method: 'copy' }, ending: 'commits' | 'continues') {
  const { stage } = plan.statements;
  // In an open transaction an earlier batch may have left its rows in the stage.
  const clear = ending === 'continues' ? [stage?.clear] : [];
  const statements = stage === undefined ? [by.copy] : [stage.create, ...clear, by.copy, stage.merge];
  return { sql: statements.join('; '), parts: [by.chunks], ending };
}

/** BEGIN, the rows, `beforeCommit`, COMMIT; all of it or nothing. */
async function inTransaction<T>(client: PoolClient, work: Work<T>, rows: () => Promise<Failures>): Promise<Failures> {
  await client.query('BEGIN');
  try {
    const failures = await rows();
    const last = await beforeCommit(client, work, failures);
    work.commitSent = true;
    await client.query(last === undefined ? 'COMMIT' : `${last}; COMMIT`);
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
    throw new HookFailure(thrown);
  }
}

/** The failures of a batch whose bad rows are taken out, by index in the batch. */
async function isolated<T>(
  client: PoolClient,
  plan: Plan<T>,
  work: Work<T>,
  first: unknown,
  atCommit: boolean,
): Promise<Failures> {
  const { items, badRows } = work;
  work.isolations = 1;
  const halt = badRows === 'halt';
  const all = textRows(items, plan.columns, plan.maxRowBytes);
  const tried = halt && all.refused.size > 0 ? Math.min(...all.refused.keys()) + 1 : items.length;
  const count = tried === items.length ? all.indexes.length : all.indexes.filter((index) => index < tried).length;
  const fields = all.fields.slice(0, count);
  const { failures, haltedAt } = await isolateRows(client, plan, { fields, first, atCommit, halt });
  const byIndex = new Map([...all.refused].filter(([index]) => index < tried));
  for (const [row, problem] of failures) byIndex.set(all.indexes[row]!, problem);
  const from = haltedAt === undefined ? tried : (all.indexes[haltedAt - 1] ?? -1) + 1;
  if (haltedAt !== undefined) for (const index of byIndex.keys()) if (index >= from) byIndex.delete(index);
  for (const [index, problem] of haltedFrom(work, from)) byIndex.set(index, problem);
  return byIndex;
}
