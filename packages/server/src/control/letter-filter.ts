/** Letter filter: which dead letters a request means. */

import type { DeadLetterFilter } from 'sluice/log';
import { HttpError } from '../gateway/http-error.js';
import { checkParameters } from '../gateway/parameters.js';

const texts = ['group', 'stream', 'tenant', 'code', 'class', 'state'] as const;
const times = ['parkedFrom', 'parkedBefore'] as const;
const names: readonly string[] = [...texts, ...times, 'partition', 'id'];

/**
 * Reads the filter of a query: `group`, `stream`, `partition`, `tenant`, `code`, `class`, `state`, `parkedFrom`, `parkedBefore` (RFC 3339), `id`
 * (repeated).
 *
 * @param others parameters of the route that are not part of the filter.
 * @throws HttpError 400 for what it does not know: a mistyped filter must not mean all letters.
 */
export function letterFilter(query: Readonly<Record<string, unknown>>, others: readonly string[]): DeadLetterFilter {
  checkParameters(query, [...names, ...others]);
  const filter: Record<string, unknown> = {};
  for (const name of texts) if (query[name] !== undefined) filter[name] = one(name, query[name]);
  for (const name of times) if (query[name] !== undefined) filter[name] = timeOf(name, one(name, query[name]));
  if (query.partition !== undefined) filter.partition = numberOf('partition', one('partition', query.partition));
  if (query.id !== undefined) filter.ids = [query.id].flat();
  if (filter.state !== undefined && filter.state !== 'parked' && filter.state !== 'redriven')
    throw new HttpError(400, 'INVALID_FILTER', 'expected state to be parked or redriven');
  return filter as DeadLetterFilter;
}

/** A whole number of a query. */
export function numberOf(name: string, text: string): number {
  if (/^\d{1,12}$/.test(text)) return Number(text);
  throw new HttpError(400, 'INVALID_QUERY', `expected ${name} to be a whole number`);
}

function one(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw new HttpError(400, 'INVALID_FILTER', `expected one ${name}`);
}

function timeOf(name: string, text: string): number {
  const time = Date.parse(text);
  if (!Number.isNaN(time)) return time;
  throw new HttpError(400, 'INVALID_FILTER', `expected ${name} to be a time such as 2026-01-31T12:00:00Z`);
}
