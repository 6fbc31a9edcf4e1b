/** Secrets: what of a configuration is not shown, wherever it is printed or answered. */

import { isZodSchema } from './stream-schema.js';

/** Stands for what is not shown. */
const hidden = '…';

/**
 * A configuration, or a value of it, without its secrets: addresses lose their passwords and the values of their queries, keys their
 * hashes, headers their values; functions are named.
 *
 * @param path where the value stands, such as `pipelines.p.sink.headers.authorization`. Default: the whole configuration.
 */
export function withoutSecrets(value: unknown, path = ''): unknown {
  if (/(^|\.)hash$|(^|\.)headers\./.test(path)) return hidden;
  const text = JSON.stringify(value, (name, member: unknown) => shown(name === '' ? path.split('.').at(-1)! : name, member));
  return text === undefined ? undefined : JSON.parse(text);
}

function shown(name: string, value: unknown): unknown {
  if (isZodSchema(value)) return 'a Zod schema';
  if (typeof value === 'function') return `the function ${value.name || 'without a name'}`;
  if (name === 'hash') return hidden;
  if (name === 'headers' && typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.keys(value).map((header) => [header, hidden]));
  return typeof value === 'string' ? address(value) : value;
}

function address(text: string): string {
  if (!text.includes('://')) return text;
  // To the last @: a password may hold a slash that should have been escaped.
  return text.replace(/:\/\/\S*@/g, `://${hidden}@`).replace(/([?&][^=&\s]*=)[^&#\s]+/g, `$1${hidden}`);
}
