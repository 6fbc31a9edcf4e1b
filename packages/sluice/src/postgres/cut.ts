/** cut: rows copied around those that PostgreSQL refuses by their line: "COPY events, line 701". */

import type { PoolClient } from 'pg';
import { isServerError } from './classify.js';
import { atStart, copyIn } from './copy.js';
import type { RowSource } from './rows.js';

/** Where the cutting ended. */
export interface Cut {
  /** Why a row was refused, by its place among the rows. */
  readonly refused: ReadonlyMap<number, unknown>;
  /** All rows before this one are in, or refused. */
  readonly end: number;
  /** An error that names no line stopped it; the transaction is back where the rows before `end` are in. */
  readonly unnamed?: unknown;
}

/** What a cut works on; none of the rows is in. */
export interface CutOptions {
  /** Statements to send ahead of the first COPY, in the same round trip; a transaction is open after them. */
  readonly before: readonly string[];
  readonly source: RowSource;
  /** The table that its COPY names, as messages spell it. */
  readonly relation: string;
  /** The error of the first attempt, if there was one. */
  readonly first: unknown;
  /** The table that it names. */
  readonly firstRelation: string;
  /** Stop at the first bad row. */
  readonly halt: boolean;
}

/** Rows that one COPY takes: from the first up to the second. */
type Piece = readonly [from: number, to: number];

/**
 * Copies the rows before the one that the server named, sets it aside, goes on behind it: two COPYs a bad row, in one round trip. The
 * rows before it may fail in their turn: the server can report a type error before an earlier duplicate.
 *
 * What lies behind goes in pieces, a savepoint after each, so that little is copied twice. It gives up, with what it has, when more
 * than one row in twenty is bad: then the server is quicker by itself.
 */
export async function cutRows(
  client: PoolClient,
  { before, source, relation, first, firstRelation, halt }: CutOptions,
): Promise<Cut> {
  const refused = new Map<number, unknown>();
  let end = 0;
  let bad = badRow(first, firstRelation, 0);
  let ahead = [...before, save];
  if (first !== undefined && bad === undefined) {
    await client.query(ahead.join('; '));
    return { refused, end, unnamed: first };
  }
  while (end < source.rows) {
    // The usual number of rows between two bad ones; without any yet, all that was good so far.
    const gap = Math.max(64, Math.ceil(((bad?.row ?? end) + 1) / (refused.size + 1)));
    const pieces = nextPieces(end, bad?.row, source.rows, gap, halt);
    const stopped = await tryPieces(client, ahead, pieces, source);
    const reached = stopped?.from ?? pieces.at(-1)?.[1] ?? end;
    if (bad !== undefined && (stopped === undefined || stopped.from > bad.row)) {
      refused.set(bad.row, bad.error);
      end = Math.max(reached, bad.row + 1);
      if (halt) return { refused, end };
      bad = undefined;
    } else end = reached;
    ahead = stopped === undefined ? [] : [back];
    if (stopped === undefined) continue;
    const next = badRow(stopped.error, relation, stopped.from);
    if (next === undefined || (refused.size >= 8 && refused.size * 20 > end)) {
      await client.query(back);
      return { refused, end, unnamed: stopped.error };
    }
    bad = next;
  }
  return { refused, end };
}

/**
 * What lies before the bad row, as one piece, and then what lies behind it, a little farther than to where the next one is to be expected:
 * what lies behind that one is sent in vain.
 */
function nextPieces(end: number, bad: number | undefined, rows: number, gap: number, halt: boolean): readonly Piece[] {
  const pieces: Piece[] = bad !== undefined && bad > end ? [[end, bad]] : [];
  if (halt && bad !== undefined) return pieces;
  const start = bad === undefined ? end : bad + 1;
  const step = Math.ceil(gap / 4);
  const stop = Math.min(rows, start + gap + step);
  for (let from = start; from < stop; from += step) pieces.push([from, Math.min(stop, from + step)]);
  return pieces;
}

interface BadRow {
  readonly row: number;
  readonly error: unknown;
}

/**
 * The row that the server names in `where`. Its own line comes last there. Rows can write such lines too: where a statement of a trigger
 * is quoted ahead of it, and in the value that the server quotes behind it. Of what is not plain, nothing is taken.
 */
function badRow(error: unknown, relation: string, start: number): BadRow | undefined {
  const { where } = (error ?? {}) as { readonly where?: unknown };
  if (typeof where !== 'string') return undefined;
  const found = `\n${where}`.split(`\nCOPY ${relation}, line `).slice(1);
  const last = found.at(-1) ?? '';
  // What ends without a quotation mark, of any language, lies in no quotation.
  const isPlain = plainEnd.test(last) || (found.length === 1 && quotedEnd.test(last) && !last.includes('"\n'));
  const line = isPlain ? Number.parseInt(last, 10) : 0;
  return line >= 1 ? { row: start + line - 1, error } : undefined;
}

const plainEnd = /^\d+(, column [\p{L}\p{N}_$]+(: null input)?)?$/u;
const quotedEnd = /^\d+(, column [^\n]+?)?: "[\s\S]*"$/;

const save = 'SAVEPOINT sluice_cut';
const back = `ROLLBACK TO ${save}`;

/** Copies the pieces, with a savepoint after each; answers where one failed: the rows before that are in once `back` has run. */
async function tryPieces(
  client: PoolClient,
  ahead: readonly string[],
  pieces: readonly Piece[],
  source: RowSource,
): Promise<{ readonly from: number; readonly error: unknown } | undefined> {
  if (pieces.length === 0) {
    if (ahead.length > 0) await client.query(ahead.join('; '));
    return undefined;
  }
  const progress = atStart();
  const sql = [...ahead, ...pieces.map(() => `${source.copy}; RELEASE ${save}; ${save}`)].join('; ');
  try {
    await copyIn(client, { sql, parts: pieces.map(([from, to]) => source.slice(from, to)), ending: 'continues' }, progress);
    return undefined;
  } catch (error) {
    if (progress.begun === 0 || !isServerError(error)) throw error;
    return { from: pieces[progress.begun - 1]![0], error };
  }
}
