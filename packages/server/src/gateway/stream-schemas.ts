/** Stream schemas: what the items of a stream must look like, by version. */

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SluiceError } from 'sluice';
import type { Config } from '../config/config.js';
import { isZodSchema, type ZodLike } from '../config/stream-schema.js';

type StreamConfig = Config['streams'][string];
type Version = NonNullable<StreamConfig['schemas']>[number];

/** Looks at the items of a stream. */
export interface StreamSchema {
  /** The highest version. */
  readonly latest: number;
  /**
   * What is wrong with an item, without its values; `undefined` when nothing is.
   *
   * @param isCloudEvent its data is looked at, not the envelope. That the request says so: an item that merely looks like one is whole.
   */
  problemOf(item: Readonly<Record<string, unknown>>, isCloudEvent?: boolean): string | undefined;
}

/** The version that an item names: its member `schemaVersion`, or the number at the end of a CloudEvent's `dataschema`. */
export function versionOf(item: Readonly<Record<string, unknown>>): number | undefined {
  const { schemaVersion, dataschema } = item;
  if (typeof schemaVersion === 'number') return schemaVersion;
  if (typeof dataschema !== 'string') return undefined;
  // Not by a pattern: it would begin anew at each digit of a long text, which takes minutes.
  let start = dataschema.length;
  while (start > 0 && isDigit(dataschema.charCodeAt(start - 1))) start--;
  return start === dataschema.length ? undefined : Number(dataschema.slice(start));
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/**
 * Compiles the schemas of a stream.
 *
 * @param folder what the paths of schema files are relative to.
 * @throws SluiceError `INVALID_OPTION`
 */
export async function compileSchemas(stream: string, versions: readonly Version[], folder: string): Promise<StreamSchema> {
  const checks = new Map<number, Check>();
  for (const { version, schema } of versions) {
    if (checks.has(version)) throw invalid(`streams.${stream}.schemas: version ${version} is there twice`);
    checks.set(version, await compile(`streams.${stream}.schemas: version ${version}`, schema, folder));
  }
  const latest = Math.max(...checks.keys());
  return {
    latest,
    problemOf(item, isCloudEvent = false) {
      const version = versionOf(item) ?? latest;
      const check = checks.get(version);
      if (check === undefined) return `there is no schema of version ${version}; there is ${[...checks.keys()].join(', ')}`;
      return check(isCloudEvent ? item.data : item);
    },
  };
}

type Check = (value: unknown) => string | undefined;

async function compile(what: string, schema: Version['schema'], folder: string): Promise<Check> {
  if (isZodSchema(schema)) return zodCheck(schema);
  const [{ Ajv2020 }, formats] = await Promise.all([import('ajv/dist/2020.js'), import('ajv-formats')]);
  try {
    const ajv = new Ajv2020({ strict: false, allErrors: false, ownProperties: true });
    formats.default.default(ajv);
    const validate = ajv.compile(
      typeof schema === 'string' ? JSON.parse(await readFile(resolve(folder, schema), 'utf8')) : schema,
    );
    return (value) => {
      if (validate(value)) return undefined;
      const [error] = validate.errors ?? [];
      return `${error?.instancePath === '' ? 'the item' : error?.instancePath} ${error?.message ?? 'does not fit'}`;
    };
  } catch (cause) {
    throw invalid(`${what} cannot be used: ${(cause as Error).message}`, cause);
  }
}

function zodCheck(schema: ZodLike): Check {
  return (value) => {
    const { success, error } = schema.safeParse(value);
    if (success) return undefined;
    const [issue] = error?.issues ?? [];
    return `/${(issue?.path ?? []).map(String).join('/')} ${issue?.message ?? 'does not fit'}`;
  };
}

function invalid(message: string, cause?: unknown): SluiceError {
  return new SluiceError(message, { code: 'INVALID_OPTION', class: 'rejected', ...(cause === undefined ? {} : { cause }) });
}
