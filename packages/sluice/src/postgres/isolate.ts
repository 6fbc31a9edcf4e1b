/** isolate: all good rows of a batch written, and the bad ones named, in the transaction that is open. */

import type { PoolClient } from 'pg';
import { failure, type SluiceError } from '../core/errors.js';
import { columnArrays } from './arrays.js';
import { alteredMark, guard } from './catalogue.js';
import { classifyPostgresError, isServerError, policyState } from './classify.js';
import { type Cut, cutRows } from './cut.js';
import type { RefusedRow } from './place.js';
import type { Plan } from './plan.js';
import type { Fields, RowSource } from './rows.js';

/** What became of the rows. */
export interface Isolated {
  /** Why each bad row was refused, by its place among the rows. */
  readonly failures: ReadonlyMap<number, SluiceError>;
  /** Rows from this one on were not tried; only with `halt`. */
  readonly haltedAt?: number;
}

/** What is known when the isolation begins. */
export interface IsolateOptions {
  /** Statements that open the transaction, or a savepoint in it; to be sent first. */
  readonly before: readonly string[];
  readonly source: RowSource;
  /** The error of the first attempt, in COPY. Nothing: it was not in COPY, or not of the rows. */
  readonly first: unknown;
  /** The first attempt went straight into the target, past the stage. */
  readonly firstWasStraight: boolean;
  /** A constraint failed at COMMIT: no line can be named, and deferred constraints must be checked at once. */
  readonly atCommit: boolean;
  /** Stop at the first bad row. */
  readonly halt: boolean;
}

/**
 * Writes what can be written, in the cheapest way that names the bad rows: by the lines that COPY names; else by the server, in
 * halves; else, where we may not make temporary tables, in halves from here.
 *
 * @throws what the server says that is not about a row.
 */
export async function isolateRows<T>(client: PoolClient, plan: Plan<T>, options: IsolateOptions): Promise<Isolated> {
  const { source, halt } = options;
  // A row that the table of a minute ago would have refused must not be taken for bad.
  const before = [...options.before, guard([plan.table.unaltered, alteredMark]), 'SAVEPOINT sluice_isolate'];
  let cut = unnamed;
  if (plan.copies && !options.atCommit) cut = await cutThere(client, plan, { ...options, before });
  else await client.query(before.join('; '));
  const failures = new Map([...cut.refused].map(([row, error]) => [row, plan.classify(error)] as const));
  if (cut.end === source.rows || (halt && failures.size > 0))
    return { failures, ...(halt && failures.size > 0 ? { haltedAt: cut.end } : {}) };
  // A merge that failed took the good rows before `end` with it: with a stage nothing is in before all is.
  const from = plan.statements.stage === undefined ? cut.end : 0;
  const fields = source.fields();
  const rest = fields.map((_, row) => row).filter((row) => row >= from && !failures.has(row));
  const named = await placeRows(
    client,
    plan,
    rest.map((row) => fields[row]!),
    halt,
  );
  for (const { row, error } of named) failures.set(rest[row]!, plan.classify(error));
  const last = named.at(-1);
  return { failures, ...(halt && last !== undefined ? { haltedAt: rest[last.row]! + 1 } : {}) };
}

const unnamed: Cut = { refused: new Map(), end: 0 };

/** By the lines of COPY; with a stage, all of what is in it goes into the target at the end, in one statement, in key order. */
async function cutThere<T>(
  client: PoolClient,
  plan: Plan<T>,
  { before, source, first, firstWasStraight, halt }: IsolateOptions,
): Promise<Cut> {
  const { stage } = plan.statements;
  const relation = stage?.name ?? plan.table.name;
  const cut = await cutRows(client, {
    before: stage === undefined ? before : [...before, stage.create, stage.clear],
    source,
    relation,
    first,
    firstRelation: firstWasStraight ? plan.table.name : relation,
    halt,
  });
  if (cut.unnamed !== undefined && !isAboutRows(cut.unnamed)) throw cut.unnamed;
  if (stage === undefined) return cut;
  try {
    if (cut.unnamed === undefined) {
      await client.query(stage.merge);
      return cut;
    }
  } catch (thrown) {
    if (!isAboutRows(thrown)) throw thrown;
  }
  await client.query('ROLLBACK TO SAVEPOINT sluice_isolate');
  // What was halted at may not be the first bad row: one before it was refused by the merge.
  return halt ? unnamed : { refused: cut.refused, end: 0 };
}

/** Whether an error is the server's, and trying the same row again cannot help. */
export function isAboutRows(thrown: unknown): boolean {
  return isServerError(thrown) && classifyPostgresError(thrown).class === 'permanent';
}

interface Named {
  readonly row: number;
  readonly error: unknown;
}

async function placeRows<T>(
  client: PoolClient,
  plan: Plan<T>,
  fields: readonly Fields[],
  halt: boolean,
): Promise<readonly Named[]> {
  if (plan.table.hasScratch) {
    const refused = await plan.place(client, fields, halt);
    return toldApart(client, plan, fields, refused);
  }
  await client.query('SET CONSTRAINTS ALL IMMEDIATE');
  const named: Named[] = [];
  await halves(client, plan, fields, 0, fields.length, halt, named);
  return named;
}

/** A policy or a trigger refuses a row, a missing right all of them, with the same state: the first row of each message is tried alone, and says which. */
async function toldApart<T>(
  client: PoolClient,
  plan: Plan<T>,
  fields: readonly Fields[],
  refused: readonly RefusedRow[],
): Promise<readonly Named[]> {
  const byMessage = new Map<string, unknown>();
  const named: Named[] = [];
  for (const refusal of refused) {
    const { row, code, message } = refusal;
    if (code === policyState && !byMessage.has(message)) byMessage.set(message, await triedAlone(client, plan, fields[row]!));
    named.push({ row, error: code === policyState ? byMessage.get(message) : refusal });
  }
  return named;
}

/** What the server says of a row that it has refused just now. */
async function triedAlone<T>(client: PoolClient, plan: Plan<T>, row: Fields): Promise<unknown> {
  await client.query('SAVEPOINT sluice_alone');
  try {
    await client.query(plan.statements.insertArrays, columnArrays([row], plan.columns.length));
  } catch (error) {
    if (!isAboutRows(error)) throw error;
    await client.query('ROLLBACK TO SAVEPOINT sluice_alone');
    return error;
  }
  throw failure('a row that was refused was taken a moment later: the policies of the table were changed meanwhile.', {
    code: `PG_${policyState}`,
    class: 'transient',
  });
}

/** Tries the rows from `low` up to `high`; false once a row was refused and nothing behind it may be written. */
async function halves<T>(
  client: PoolClient,
  plan: Plan<T>,
  fields: readonly Fields[],
  low: number,
  high: number,
  halt: boolean,
  named: Named[],
): Promise<boolean> {
  try {
    await client.query('SAVEPOINT sluice_half');
    await client.query(plan.statements.insertArrays, columnArrays(fields.slice(low, high), plan.columns.length));
    await client.query('RELEASE SAVEPOINT sluice_half');
    return true;
  } catch (error) {
    if (!isAboutRows(error)) throw error;
    await client.query('ROLLBACK TO SAVEPOINT sluice_half');
    if (high - low === 1) {
      named.push({ row: low, error });
      return !halt;
    }
  }
  const middle = (low + high) >> 1;
  if (!(await halves(client, plan, fields, low, middle, halt, named))) return false;
  return halves(client, plan, fields, middle, high, halt, named);
}
