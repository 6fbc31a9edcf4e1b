/** Known: which names and values a schema knows at a place, to suggest one of them. */

import { z } from 'zod';
import type { Path } from './source.js';

/** The names that the object at this path may have. */
export function knownNames(schema: z.core.$ZodType, path: Path): string[] {
  return schemasAt(schema, path).flatMap((found) => (found instanceof z.ZodObject ? Object.keys(found.shape) : []));
}

/** All schemas that may hold for the value at a path: of a union, each. */
function schemasAt(schema: z.core.$ZodType, path: Path): z.core.$ZodType[] {
  const here = unwrapped(schema);
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
    return next === undefined ? [] : schemasAt(next, rest);
  });
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType[] {
  if (schema instanceof z.ZodUnion) return schema.options.flatMap(unwrapped);
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional)
    return unwrapped(schema.unwrap() as z.core.$ZodType);
  return [schema];
}
