/** Numbers of a configuration: each has a range, and the unit stands in the option's name. */

import { z } from 'zod';

const MiB = 1024 * 1024;

/** A whole number from `least` to `most`. */
export function whole(least: number, most: number = Number.MAX_SAFE_INTEGER) {
  return z.number().int().min(least).max(most);
}

/** Milliseconds, from 0 to a day unless told otherwise. */
export function milliseconds(least = 0, most = 86_400_000) {
  return z.number().min(least).max(most);
}

/** Bytes. */
export function bytes(least = 1) {
  return whole(least);
}

/** So many MiB in bytes. */
export function mebibytes(n: number): number {
  return n * MiB;
}

/** The name of a stream, tenant, group or pipeline: it occurs in URLs, metrics and file names. */
export const name = z
  .string()
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/,
    'expected 1 to 128 letters, digits, dots, hyphens and underscores, with no dot or hyphen first',
  );
