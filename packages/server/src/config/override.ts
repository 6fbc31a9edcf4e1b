/** Override: what the command line says goes before the configuration. */

import { resolve } from 'node:path';
import { contradictions } from './contradictions.js';
import type { Loaded } from './load.js';
import { ConfigError, pathText } from './problem.js';

/** The options of `sluice up` that a configuration has too. */
export interface Overrides {
  readonly data?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly controlPort?: number | undefined;
  /** Seconds. */
  readonly deadline?: number | undefined;
  readonly readUpstream?: string | undefined;
  /** Milliseconds. */
  readonly readWindow?: number | undefined;
  readonly publicWithoutKeys?: boolean | undefined;
}

/**
 * A configuration with some of it said otherwise.
 *
 * @param folder what `data` is relative to.
 * @throws ConfigError when the two contradict each other.
 */
export function override(loaded: Loaded, overrides: Overrides, folder: string = process.cwd()): Loaded {
  const { data, host, port, controlPort, deadline, readUpstream, readWindow, publicWithoutKeys } = overrides;
  const { config } = loaded;
  const changed = {
    ...config,
    ...given({
      dataDir: data === undefined ? undefined : resolve(folder, data),
      drainDeadlineMs: deadline === undefined ? undefined : deadline * 1_000,
    }),
    gateway: { ...config.gateway, ...given({ host, port, publicWithoutKeys }) },
    control: { ...config.control, ...given({ port: controlPort }) },
    reads: {
      ...config.reads,
      ...given({ upstreams: readUpstream === undefined ? undefined : [readUpstream], windowMs: readWindow }),
    },
  };
  const found = contradictions(changed).map(({ path, message }) => ({ path: pathText(path), message }));
  if (found.length > 0) throw new ConfigError(loaded.file ?? '', found);
  return { ...loaded, config: changed, overrides };
}

function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}
