/** Dead letters in memory: bounded by count and age, gone with the process. */

import type { DeadLetterStore, Letter, LetterFilter, LetterGroup } from '../core/dead-letter-store.js';
import { failure } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';

/** Options of {@link memoryDeadLetterStore}. */
export interface MemoryDeadLetterStoreOptions {
  /** Letters kept at most, 1 or more; beyond it none is parked, and the items fail. Default 10,000. */
  readonly maxLetters?: number;
  /** How long a letter is kept, in milliseconds, 1 or more; then it is removed, and counted as expired. Default 604,800,000 (a week). */
  readonly maxAgeMs?: number;
  /** Where the time comes from. Default: the system's. */
  readonly env?: Pick<Env, 'clock'>;
}

/** Dead letters in memory. */
export interface MemoryDeadLetterStore<T> extends DeadLetterStore<T> {
  park(letters: Parameters<DeadLetterStore<T>['park']>[0]): readonly string[];
  list(filter?: LetterFilter): readonly Letter<T>[];
  groups(filter?: LetterFilter): readonly LetterGroup[];
  get(id: string): Letter<T> | undefined;
  mark(id: string, state: Letter<T>['state']): boolean;
  purge(filter: LetterFilter): number;
  /** Letters kept now; parked, refused for want of room, expired and purged so far. */
  stats(): {
    readonly letters: number;
    readonly parked: number;
    readonly refused: number;
    readonly expired: number;
    readonly purged: number;
  };
}

/**
 * A store of dead letters in memory. It answers at once and runs no timer.
 *
 * @throws SluiceError `INVALID_OPTION`; `park` throws `DEAD_LETTERS_FULL`.
 */
export function memoryDeadLetterStore<T>(options: MemoryDeadLetterStoreOptions = {}): MemoryDeadLetterStore<T> {
  checkNames('memoryDeadLetterStore', options, ['maxLetters', 'maxAgeMs', 'env']);
  const at = (name: string) => `memoryDeadLetterStore.${name}`;
  const maxLetters = numberOption(at('maxLetters'), options.maxLetters, 10_000, { least: 1, whole: true, infinite: true });
  const maxAgeMs = numberOption(at('maxAgeMs'), options.maxAgeMs, 604_800_000, { least: 1, infinite: true });
  const { clock } = options.env ?? systemEnv();
  // In the order in which they were parked, which is that of their age.
  const letters = new Map<string, { readonly letter: Letter<T>; readonly since: number }>();
  const counts = { parked: 0, refused: 0, expired: 0, purged: 0 };

  const expire = () => {
    const now = clock.now();
    for (const [id, { letter, since }] of letters) {
      if (now - since < maxAgeMs) return;
      // One that is being sent again is somebody's; it goes once they have put it back.
      if (letter.state === 'redriving') continue;
      letters.delete(id);
      counts.expired++;
    }
  };

  const list = (filter: LetterFilter = {}): Letter<T>[] => {
    expire();
    const ids = filter.ids && new Set(filter.ids);
    const found: Letter<T>[] = [];
    for (const { letter } of letters.values()) {
      if (found.length >= (filter.limit ?? Number.POSITIVE_INFINITY)) break;
      if (fits(letter, filter, ids)) found.push(letter);
    }
    return found;
  };

  return {
    park(parked) {
      expire();
      if (letters.size + parked.length > maxLetters) {
        counts.refused += parked.length;
        const message = `no room for ${parked.length} more dead letters: ${letters.size} are kept, maxLetters is ${maxLetters}. Redrive or purge some, or raise the bound.`;
        throw failure(message, { code: 'DEAD_LETTERS_FULL', class: 'rejected' });
      }
      return parked.map((letter) => {
        const id = `dl-${(++counts.parked).toString(36)}`;
        letters.set(id, { letter: { ...letter, id, parkedAt: clock.wall(), state: 'parked' }, since: clock.now() });
        return id;
      });
    },
    list,
    groups: (filter) => groupsOf(list(filter)),
    get(id) {
      expire();
      return letters.get(id)?.letter;
    },
    mark(id, state) {
      const known = letters.get(id);
      if (known === undefined || known.letter.state === state) return false;
      letters.set(id, { ...known, letter: { ...known.letter, state } });
      return true;
    },
    purge(filter) {
      const found = list(filter);
      for (const { id } of found) letters.delete(id);
      counts.purged += found.length;
      return found.length;
    },
    stats() {
      expire();
      return { letters: letters.size, ...counts };
    },
  };
}

function fits(letter: Letter<unknown>, filter: LetterFilter, ids: ReadonlySet<string> | undefined): boolean {
  const { lane, code, class: failureClass, parkedBefore } = filter;
  if (ids !== undefined && !ids.has(letter.id)) return false;
  if (lane !== undefined && letter.lane !== lane) return false;
  if (code !== undefined && letter.code !== code) return false;
  if (failureClass !== undefined && letter.class !== failureClass) return false;
  return parkedBefore === undefined || letter.parkedAt < parkedBefore;
}

function groupsOf(letters: readonly Letter<unknown>[]): LetterGroup[] {
  const groups = new Map<string, { -readonly [K in keyof LetterGroup]: LetterGroup[K] }>();
  for (const { id, code, class: failureClass, message, firstFailedAt, lastFailedAt } of letters) {
    const pattern = patternOf(message);
    const key = JSON.stringify([code, failureClass, pattern]);
    const group = groups.get(key);
    if (group === undefined) {
      groups.set(key, { code, class: failureClass, pattern, letters: 1, firstFailedAt, lastFailedAt, exampleId: id });
      continue;
    }
    group.letters++;
    group.firstFailedAt = Math.min(group.firstFailedAt, firstFailedAt);
    group.lastFailedAt = Math.max(group.lastFailedAt, lastFailedAt);
  }
  return [...groups.values()].sort((a, b) => b.letters - a.letters);
}

/** What messages of one cause have in common: `line 701: "x" is no number` becomes `line #: … is no number`. */
function patternOf(message: string): string {
  const pattern = message
    .slice(0, 500)
    .replace(/"[^"]*"|'[^']*'|`[^`]*`/g, '…')
    .replace(/\d+/g, '#');
  return pattern.length <= 120 ? pattern : `${pattern.slice(0, 119)}…`;
}
