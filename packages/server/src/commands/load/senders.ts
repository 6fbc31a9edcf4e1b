/** Senders: whose requests a load sends, by their API keys, and whose turn it is. */

import { readFile } from 'node:fs/promises';
import { UsageError } from '../command-io.js';
import { keyHeaders } from '../service-flags.js';

/** Somebody who sends. */
export interface Sender {
  /** The id of the key; never the key itself. `undefined` where there is none. */
  readonly name: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Turns, in proportion to those of the others. */
  readonly weight: number;
}

const maxSenders = 1_000;
const maxWeight = 1_000;
/** Of all weights: the turns are worked out before the load. */
const maxTurns = 100_000;

/**
 * The senders of a file of keys, or the one with this key, or the one without.
 *
 * @throws UsageError when the file cannot be read or used, or holds fewer than `count` keys.
 */
export async function readSenders(
  file: string | undefined,
  key: string | undefined,
  count: number | undefined,
): Promise<readonly Sender[]> {
  if (file === undefined) return [{ name: undefined, headers: keyHeaders(key), weight: 1 }];
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new UsageError(`the file of keys cannot be read: ${error.message}`);
  });
  const senders = text
    .split('\n')
    .map((line, i) => ({ line: line.trim(), number: i + 1 }))
    .filter(({ line }) => line !== '' && !line.startsWith('#'))
    .map(({ line, number }) => senderOf(line, `line ${number} of ${file}`));
  const wanted = count ?? senders.length;
  if (senders.length === 0) throw new UsageError(`there is no key in ${file}`);
  if (wanted > senders.length) throw new UsageError(`${file} holds ${senders.length} keys, fewer than --tenants ${wanted}`);
  if (wanted > maxSenders) throw new UsageError(`expected at most ${maxSenders} keys in ${file}; name fewer with --tenants`);
  const some = senders.slice(0, wanted);
  if (some.reduce((sum, { weight }) => sum + weight, 0) > maxTurns)
    throw new UsageError(`expected weights that add up to at most ${maxTurns} in ${file}`);
  return some;
}

/** Whose turn it is, again and again: each as often as its weight, and evenly spread. */
export function turns(senders: readonly Sender[]): () => number {
  const total = senders.reduce((sum, { weight }) => sum + weight, 0);
  // Smooth weighted round robin, worked out once: who has waited longest for its share comes next.
  const credit = senders.map(() => 0);
  const cycle = new Uint16Array(total);
  for (let at = 0; at < total; at++) {
    let best = 0;
    for (let i = 0; i < senders.length; i++) {
      credit[i]! += senders[i]!.weight;
      if (credit[i]! > credit[best]!) best = i;
    }
    credit[best]! -= total;
    cycle[at] = best;
  }
  let next = 0;
  return () => {
    const index = cycle[next]!;
    next = next + 1 === total ? 0 : next + 1;
    return index;
  };
}

/**
 * Whether the next request of a sender is a read: of those of each sender, this share. With one count for all of them, two turns that fit
 * each other would give one sender all the reads, and another none.
 */
export function readTurns(share: number, senders: number): (sender: number) => boolean {
  // They begin apart, so that the reads of many senders do not come all at once.
  const credit = Array.from({ length: senders }, (_, i) => i / senders);
  return (sender) => {
    credit[sender]! += share;
    if (credit[sender]! < 1) return false;
    credit[sender]! -= 1;
    return true;
  };
}

/** What is wrong is told by its place: a key is never printed. */
function senderOf(line: string, where: string): Sender {
  const [key = '', weight = '1', ...more] = line.split(/\s+/);
  if (more.length > 0 || !/^[\x21-\x7e]{1,512}$/.test(key) || !/^\d{1,4}$/.test(weight))
    throw new UsageError(`expected an API key, and a weight if it is not 1, in ${where}`);
  if (Number(weight) < 1 || Number(weight) > maxWeight)
    throw new UsageError(`expected a weight from 1 to ${maxWeight} in ${where}`);
  return { name: /^slc_(.+)\.[^.]*$/.exec(key)?.[1] ?? where, headers: keyHeaders(key), weight: Number(weight) };
}
