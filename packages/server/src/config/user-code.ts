/**
 * User code: the functions of a configuration, inline or in a module. Whether one is the same after a reload cannot be told, for what it
 * uses may have changed without its text: each is taken anew.
 */

import type { Config, PipelineConfig } from './config.js';
import { isZodSchema } from './stream-schema.js';

const places = [/^pipelines\.[^.]+\.(filter|map|branch|sink\.handler|branches\.[^.]+\.handler)$/, /^streams\..+\.upcast$/];

/** Whether a value of a configuration is code, or names it. */
export function isUserCode(value: unknown, path: string): boolean {
  if (typeof value === 'function' || isZodSchema(value)) return true;
  return typeof value === 'string' && places.some((place) => place.test(path));
}

/** Whether a pipeline runs code of the user's: a function of its own, or an upcast of its stream. */
export function runsUserCode(name: string, pipeline: PipelineConfig, streams: Config['streams']): boolean {
  const { stream = name, filter, map, branch, sink, branches } = pipeline;
  if (filter !== undefined || map !== undefined || branch !== undefined) return true;
  if ([sink, ...Object.values(branches)].some(({ type }) => type === 'module')) return true;
  return streams[stream]?.schemas?.some(({ upcast }) => upcast !== undefined) === true;
}
