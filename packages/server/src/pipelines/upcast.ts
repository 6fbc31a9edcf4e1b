/** Upcast: brings an item of an old version of its stream's schema to the latest, step by step, when a pipeline reads it. */

import type { Config } from '../config/config.js';
import { versionOf } from '../gateway/stream-schemas.js';
import { userFunction } from './user-function.js';

type Item = Readonly<Record<string, unknown>>;

/** Makes an item of the latest version; what is of it already comes back as it is. */
export type Upcast = (item: Item) => Item;

/**
 * The upcast of a stream; `undefined` when none of its versions has one.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export async function upcastOf(stream: string, streams: Config['streams'], folder: string): Promise<Upcast | undefined> {
  const versions = [...(streams[stream]?.schemas ?? [])].sort((a, b) => a.version - b.version);
  const steps = new Map<number, (item: unknown) => unknown>();
  for (const { version, upcast } of versions) {
    if (upcast !== undefined)
      steps.set(version, await userFunction(upcast, folder, `streams.${stream}.schemas: version ${version}`));
  }
  if (steps.size === 0) return undefined;
  const numbers = versions.map(({ version }) => version);
  const latest = numbers.at(-1)!;
  return (item) => {
    let current = item;
    for (const version of numbers.slice(numbers.indexOf(versionOf(item) ?? latest))) {
      const step = version === latest ? undefined : steps.get(version);
      if (step !== undefined) current = step(current) as Item;
    }
    return current;
  };
}
