/** Known: which names and values a schema knows at a place, to suggest one of them. */

import { z } from 'zod';
import type { Path } from './source.js';

/** The names that the object at this path of `value` may have. */
export function knownNames(schema: z.core.$ZodType, path: Path, value: unknown): string[] {
  const names = schemasAt(schema, path, value).flatMap((found) => (found instanceof z.ZodObject ? Object.keys(found.shape) : []));
  return [...new Set(names)];
}

/** All schemas that may hold for the value at a path: of a union, each; of one with a type, that of the type that is named. */
function schemasAt(schema: z.core.$ZodType, path: Path, value: unknown): z.core.$ZodType[] {
  const here = unwrapped(schema, value);
  if (path.length === 0) return here;
  const [step, ...rest] = path;
  return here.flatMap((found) => {
    const next =
      found instanceof z.ZodObject
        ? found.shape[String(step)]
        : found instanceof z.ZodRecord
          ? found.valueType
          : found instanceof z.ZodArray
            ? found.element
            : undefined;
    return next === undefined ? [] : schemasAt(next, rest, (value as Record<PropertyKey, unknown> | undefined | null)?.[step!]);
  });
}

function unwrapped(schema: z.core.$ZodType, value: unknown): z.core.$ZodType[] {
  if (schema instanceof z.ZodUnion) return optionsFor(schema, value).flatMap((option) => unwrapped(option, value));
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional)
    return unwrapped(schema.unwrap() as z.core.$ZodType, value);
  return [schema];
}

function optionsFor(union: z.ZodUnion, value: unknown): readonly z.core.$ZodType[] {
  if (!(union instanceof z.ZodDiscriminatedUnion)) return union.options;
  const type = union.def.discriminator;
  const given = (value as Record<string, unknown> | undefined | null)?.[type];
  const named = union.options.filter(
    (option) => option instanceof z.ZodObject && z.safeParse(option.shape[type] as z.core.$ZodType, given).success,
  );
  return named.length > 0 ? named : union.options;
}
