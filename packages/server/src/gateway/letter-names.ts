/** Letter names: what the dead letters of a record are called, where those who run the service look at them. */

import { deadLetterId, type Log, type Position } from 'sluice/log';

/** The ids of the letters of a record that some of these groups have parked, by the names of the groups. */
export async function letterNames(
  log: Log,
  stream: string,
  groups: readonly string[],
  { partition, offset }: Position,
): Promise<readonly string[]> {
  const names = [...new Set(groups)].sort().map((group) => deadLetterId(group, stream, partition, offset));
  // It was the only one that could.
  if (names.length < 2) return names;
  // What was stored stays stored: a log that cannot be read any more takes the names alone.
  const letters = await Promise.all(names.map((name) => log.letters.get(name).catch(() => undefined)));
  return names.filter((_, at) => letters[at] !== undefined);
}
