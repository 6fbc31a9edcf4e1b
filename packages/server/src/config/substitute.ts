/** Substitute: puts environment variables in place of `${NAME}` and `${NAME:-default}` in the texts of a configuration. */

import type { Path } from './source.js';

/** What became of a configuration's texts. */
export interface Substituted {
  readonly value: unknown;
  /** Places whose whole text came from the environment: it may stand for a number, or for true or false. */
  readonly whole: readonly { readonly path: Path; readonly text: string }[];
  /** Variables that are not set and have no default. */
  readonly missing: readonly { readonly path: Path; readonly name: string }[];
}

const variable = /\$(\$)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g;

/** Substitutes in each text. An empty variable takes its default too; `$$` stands for one dollar. */
export function substitute(value: unknown, environment: Readonly<Record<string, string | undefined>>): Substituted {
  const whole: { path: Path; text: string }[] = [];
  const missing: { path: Path; name: string }[] = [];

  const text = (given: string, path: Path): string => {
    const result = given.replace(variable, (_all, dollar: string | undefined, name: string, fallback: string | undefined) => {
      if (dollar !== undefined) return '$';
      const found = environment[name];
      if (found !== undefined && (found !== '' || fallback === undefined)) return found;
      if (fallback === undefined) missing.push({ path, name });
      return fallback ?? '';
    });
    if (/^\$\{[^}]*\}$/.test(given)) whole.push({ path, text: result });
    return result;
  };

  const walk = (given: unknown, path: Path): unknown => {
    if (typeof given === 'string') return text(given, path);
    if (Array.isArray(given)) return given.map((item, index) => walk(item, [...path, index]));
    if (given === null || typeof given !== 'object' || Object.getPrototypeOf(given) !== Object.prototype) return given;
    return Object.fromEntries(Object.entries(given).map(([name, member]) => [name, walk(member, [...path, name])]));
  };

  return { value: walk(value, []), whole, missing };
}
