/** Stream rules: order keys and schemas of the configuration's streams, compiled. */

import type { Config } from '../config/config.js';
import type { StreamRules } from '../gateway/events-route.js';
import { compileSchemas } from '../gateway/stream-schemas.js';

/**
 * Compiles the rules of all streams.
 *
 * @throws SluiceError `INVALID_OPTION` for a schema that cannot be used.
 */
export async function streamRules(streams: Config['streams'], folder: string): Promise<ReadonlyMap<string, StreamRules>> {
  const rules = await Promise.all(
    Object.entries(streams).map(async ([stream, { key, schemas }]) => {
      const schema = schemas === undefined ? undefined : await compileSchemas(stream, schemas, folder);
      return [stream, { keyField: key, schema }] as const;
    }),
  );
  return new Map(rules);
}
