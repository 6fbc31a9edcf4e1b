/** Restart: what of its configuration a service that runs takes only when it is started again. */

import type { Config } from './config.js';
import { type Change, diffConfig, isPlain, needsRestart } from './diff.js';
import { pathText } from './problem.js';
import type { Path } from './source.js';
import { isUserCode } from './user-code.js';

/** What runs once a service that runs `before` has taken `next`: all of it but what needs a restart. */
export function whatRuns(before: Config, next: Config): Config {
  return taken(before, next, []) as Config;
}

/** What waits for a restart: from what runs to the configuration that was taken. */
export function restartDue(runs: Config, current: Config): Change[] {
  return diffConfig(runs, current).filter((change) => change.needsRestart);
}

/** Changes to a configuration of which this is due then: whoever goes back to what still runs needs no restart for it. */
export function withRestarts(changes: readonly Change[], due: readonly Change[]): Change[] {
  return changes.map((change) =>
    change.needsRestart && !due.some(({ path }) => isWithin(path, change.path) || isWithin(change.path, path))
      ? { ...change, needsRestart: false }
      : change,
  );
}

function taken(before: unknown, next: unknown, path: Path): unknown {
  if (needsRestart(pathText(path))) return before;
  if (!isPlain(before) || !isPlain(next) || isUserCode(next, '')) return next;
  const members = Object.keys({ ...before, ...next }).map((name) => [name, taken(before[name], next[name], [...path, name])]);
  return Object.fromEntries(members.filter(([, member]) => member !== undefined));
}

function isWithin(path: string, other: string): boolean {
  return path === other || path.startsWith(`${other}.`) || path.startsWith(`${other}[`);
}
