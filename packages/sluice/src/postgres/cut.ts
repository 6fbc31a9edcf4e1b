/** cut: rows copied around those that PostgreSQL refuses by their line: "COPY events, line 701". */

import type { PoolClient } from 'pg';
import { type CopyProgress, copyIn } from './copy.js';
import { copyLine, textChunks } from './rows.js';

/** Where the cutting ended. */
export interface Cut {
  /** Why a row was refused, by its place among the rows. */
  readonly refused: ReadonlyMap<number, unknown>;
  /** All rows before this one are in, or refused. */
  readonly end: number;
  /** An error that names no line stopped it; the transaction is back where the rows before `end` are in. */
  readonly unnamed?: unknown;
}

/** What a cut works on; a transaction is open, and none of the rows is in. */
export interface CutOptions {
  readonly fields: readonly (readonly (string | null)[])[];
  /** One COPY … FROM STDIN in the text format. */
  readonly copy: string;
  /** The table that it names, as messages spell it. */
  readonly relation: string;
  /** The error of the first attempt, if there was one. */
  readonly first: unknown;
  /** Stop at the first bad row. */
  readonly halt: boolean;
}

/**
 * Copies the rows before the one that the server named, sets it aside, goes on behind it: about two COPYs a bad row, both in one
 * round trip. The rows before it may fail in their turn: the server can report a type error before an earlier duplicate.
 *
 * It gives up, with what it has, when more than one row in twenty is bad, because then the server is quicker by itself.
 */
export async function cutRows(client: PoolClient, { fields, copy, relation, first, halt }: CutOptions): Promise<Cut> {
  const lines = fields.map(copyLine);
  const refused = new Map<number, unknown>();
  let end = 0;
  let bad = badRow(lineOf(first, relation), first, 0);
  let reach = Math.max(64, bad === undefined ? 0 : 4 * (bad.row + 1));
  if (first !== undefined && bad === undefined) return { refused, end, unnamed: first };
  await client.query('SAVEPOINT sluice_cut');
  while (end < lines.length) {
    // What lies before the bad row, then what lies behind it; or, when none is known, the next rows.
    const middle = bad?.row ?? end;
    const behind = bad === undefined ? end : middle + 1;
    const stop = halt && bad !== undefined ? behind : Math.min(lines.length, behind + reach);
    const parts = [lines.slice(end, middle), lines.slice(behind, stop)];
    const thrown = await tryParts(client, parts.map(textChunks), copy);
    const inFirst = thrown !== undefined && thrown.part === 0;
    if (bad !== undefined && !inFirst) {
      refused.set(bad.row, bad.error);
      end = behind;
      if (halt) return { refused, end: stop };
    }
    if (thrown === undefined) {
      end = stop;
      bad = undefined;
      reach *= 2;
      continue;
    }
    const next = badRow(lineOf(thrown.error, relation), thrown.error, end);
    if (next === undefined || (refused.size >= 8 && refused.size * 20 > end)) return { refused, end, unnamed: thrown.error };
    // Twice the usual gap: what is sent behind the next bad row is sent in vain.
    reach = Math.max(64, Math.ceil((2 * (next.row + 1)) / (refused.size + 1)));
    bad = next;
  }
  return { refused, end };
}

interface BadRow {
  readonly row: number;
  readonly error: unknown;
}

function badRow(line: number | undefined, error: unknown, start: number): BadRow | undefined {
  return line === undefined ? undefined : { row: start + line - 1, error };
}

/** The line that the server names in `where`. */
function lineOf(error: unknown, relation: string): number | undefined {
  const { where } = (error ?? {}) as { readonly where?: unknown };
  if (typeof where !== 'string') return undefined;
  const begin = `COPY ${relation}, line `;
  // The first at the beginning of a line: behind it the server quotes the row's own text, in which anything may stand.
  const at = where.startsWith(begin) ? 0 : where.indexOf(`\n${begin}`);
  if (at < 0) return undefined;
  const line = Number.parseInt(where.slice(where.indexOf(begin, at) + begin.length), 10);
  return line >= 1 ? line : undefined;
}

/** Copies both parts, with a savepoint after the first; answers which one failed, and goes back to before it. */
async function tryParts(
  client: PoolClient,
  parts: readonly (readonly Buffer[])[],
  copy: string,
): Promise<{ readonly part: number; readonly error: unknown } | undefined> {
  const save = 'RELEASE SAVEPOINT sluice_cut; SAVEPOINT sluice_cut';
  const present = parts.map((part, index) => ({ part, index })).filter(({ part }) => part.length > 0);
  if (present.length === 0) return undefined;
  const progress: CopyProgress = { commitSent: false, begun: 0 };
  const sql = present.map(() => `${copy}; ${save}`).join('; ');
  try {
    await copyIn(client, { sql, parts: present.map(({ part }) => part), ending: 'continues' }, progress);
    return undefined;
  } catch (error) {
    // Fails where the connection is gone: that is the error to tell then, and it is told by what follows.
    await client.query('ROLLBACK TO SAVEPOINT sluice_cut').catch(() => Promise.reject(error));
    return { part: present[Math.max(0, progress.begun - 1)]!.index, error };
  }
}
