/** Diff: what changes from one configuration to another, and which of it needs a restart. */

import { isDeepStrictEqual } from 'node:util';
import type { Config } from './config.js';
import { pathText } from './problem.js';
import { withoutSecrets } from './secrets.js';
import type { Path } from './source.js';
import { isUserCode } from './user-code.js';

/** One change. */
export interface Change {
  readonly path: string;
  /** `anew`: code that is run anew; whether it is another cannot be told. */
  readonly kind: 'added' | 'removed' | 'changed' | 'anew';
  readonly from?: unknown;
  readonly to?: unknown;
  /** Takes effect after a restart only. */
  readonly needsRestart: boolean;
}

/**
 * Whether changes leave everything as it was, as far as that can be told. Of functions only the text can be compared; a module that is named by its
 * path cannot be had back as it was.
 */
export function changesNothing(changes: readonly Change[]): boolean {
  return changes.every(({ kind, from, to }) => kind === 'anew' && String(from) === String(to));
}

/** What a running service cannot change: where it listens and what it has opened. */
const fixed = [
  /^dataDir$/,
  /^database$/,
  /^gateway\.(host|port|requestTimeoutMs)$/,
  /^(control|reads)(\.|$)/,
  /^log\./,
  /^outboxes(\.|$)/,
  /^streams\.[^.]+\.partitions$/,
];

/** The changes from one configuration to another, in the order of the options. */
export function diffConfig(from: Config, to: Config): Change[] {
  const changes: Change[] = [];
  compare(from, to, [], changes);
  return changes;
}

/** Whether a running service leaves the option at a path such as `gateway.port` as it is until it is started again. */
export function needsRestart(path: string): boolean {
  return fixed.some((pattern) => pattern.test(path));
}

/** A change as a line for people; without secrets. */
export function changeText({ path, kind, from, to, needsRestart }: Change): string {
  const texts = {
    added: () => `+ ${path}: ${shown(to, path)}`,
    removed: () => `- ${path}: ${shown(from, path)}`,
    changed: () => `~ ${path}: ${shown(from, path)} → ${shown(to, path)}`,
    anew: () => `~ ${path}: ${shown(to, path)}, taken anew`,
  };
  const text = texts[kind]();
  return needsRestart ? `${text}   (after a restart)` : text;
}

function compare(from: unknown, to: unknown, path: Path, changes: Change[]): void {
  if (isPlain(from) && isPlain(to) && !isUserCode(to, '')) {
    for (const name of new Set([...Object.keys(from), ...Object.keys(to)]))
      compare(from[name], to[name], [...path, name], changes);
    return;
  }
  if (Array.isArray(from) && Array.isArray(to) && from.length === to.length) {
    for (const [index, one] of to.entries()) compare(from[index], one, [...path, index], changes);
    return;
  }
  const text = pathText(path);
  const change = { path: text, needsRestart: needsRestart(text) };
  const isCode = isUserCode(from, text) && isUserCode(to, text);
  if (isCode && (typeof to !== 'string' || from === to)) return void changes.push({ ...change, kind: 'anew', from, to });
  if (isDeepStrictEqual(from, to)) return;
  if (from === undefined) changes.push({ ...change, kind: 'added', to });
  else if (to === undefined) changes.push({ ...change, kind: 'removed', from });
  else changes.push({ ...change, kind: 'changed', from, to });
}

/** Whether a value is an object whose members are compared one by one. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype;
}

function shown(value: unknown, path: string): string {
  return JSON.stringify(withoutSecrets(value, path)) ?? String(value);
}
