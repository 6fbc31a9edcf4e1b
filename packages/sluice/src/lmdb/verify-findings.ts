/** What a check has counted and found, and how it reads: everything in the snapshot of one transaction. */

import type { Transaction } from 'lmdb';
import type { VerifyProblem, VerifyReport } from '../log/log.js';
import type { Tree, Trees } from './store.js';

/** Counts, problems, and the trees that are read. */
export interface Findings {
  readonly trees: Trees;
  readonly counts: { -readonly [K in Exclude<keyof VerifyReport, 'problems'>]: number };
  problem(problem: VerifyProblem): void;
  /** Rows of a tree in order, each a copy. */
  rows(
    tree: Tree,
    range?: { readonly start: Buffer; readonly end: Buffer },
  ): Iterable<{ readonly key: Buffer; readonly value: Buffer }>;
  keys(tree: Tree): Iterable<Buffer>;
  get(tree: Tree, key: Buffer): Buffer | undefined;
  report(): VerifyReport;
}

/** Most problems that a report names; how many more there are is said in one more. */
export const maxProblems = 1_000;

/** Nothing found yet. */
export function createFindings(trees: Trees, transaction: Transaction): Findings {
  const counts = { streams: 0, chunks: 0, records: 0, groups: 0, letters: 0, ids: 0 };
  const problems: VerifyProblem[] = [];
  let unnamed = 0;
  return {
    trees,
    counts,
    problem(problem) {
      if (problems.length < maxProblems) problems.push(problem);
      else unnamed++;
    },
    *rows(tree, range = undefined) {
      for (const { key, value } of tree.getRange({ ...range, transaction })) yield { key, value: asBuffer(value) };
    },
    *keys(tree) {
      for (const key of tree.getKeys({ transaction })) yield asBuffer(key);
    },
    get(tree, key) {
      const value = tree.get(key, { transaction });
      return value === undefined ? undefined : asBuffer(value);
    },
    report() {
      const more: VerifyProblem[] = unnamed === 0 ? [] : [{ kind: 'more', message: `${unnamed} more problems are not named` }];
      return { ...counts, problems: [...problems, ...more] };
    },
  };
}

/** What reading a row has thrown, as a few words. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** lmdb's values are Uint8Arrays at times. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
