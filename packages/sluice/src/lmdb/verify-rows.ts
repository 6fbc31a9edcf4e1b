/** The check of groups, dead letters and ids: all of them stand inside what the partitions say of themselves. */

import { readGroupRow } from './group-rows.js';
import { entryBytes, readIdRowKey, readPlace } from './id-rows.js';
import { readCount, readLetterGroup, readOffset, readPartitionKey } from './keys.js';
import { decodeLetter } from './letter-rows.js';
import type { VerifiedStreams } from './verify-chunks.js';
import { type Findings, reasonOf } from './verify-findings.js';

const rowsAtOnce = 2_000;

/** Checks the positions of the groups. */
export function* verifyGroups(
  { trees, counts, problem, rows, get }: Findings,
  streams: VerifiedStreams,
): Generator<void, void, void> {
  const lastEpoch = readCount(get(trees.meta, Buffer.from('next epoch')));
  // A group has a row for each partition.
  const groups = new Set<string>();
  let seen = 0;
  for (const { key, value } of rows(trees.groups)) {
    const { stream: number, partition } = readPartitionKey(key);
    const group = key.toString('utf8', 6);
    const stream = streams.get(number);
    const place = `group ${group} on ${stream?.stream}/${partition}`;
    const wrong = (what: string) => problem({ kind: 'group', message: `${place} ${what}` });
    groups.add(`${number}/${group}`);
    counts.groups = groups.size;
    if (++seen % rowsAtOnce === 0) yield;
    if (stream === undefined) {
      wrong(`belongs to stream number ${number}, which does not exist`);
      continue;
    }
    const { firstOffset, nextOffset } = stream.partitions.get(partition) ?? { firstOffset: 0, nextOffset: 0 };
    try {
      const { position, suspects, epoch } = readGroupRow(value);
      const { cursor, settledAbove } = position;
      if (cursor < firstOffset || cursor > nextOffset) wrong(`stands at ${cursor}, outside of ${firstOffset} to ${nextOffset}`);
      let least = cursor + 1;
      for (const { first, last } of settledAbove) {
        if (first < least || last < first || last >= nextOffset)
          wrong(`has ${first} to ${last} settled above its cursor at ${cursor}, which cannot be`);
        least = last + 2;
      }
      if (suspects.some(({ first, last }) => last < first || last >= nextOffset)) wrong('suspects records that do not exist');
      if (epoch > lastEpoch) wrong(`has epoch ${epoch}, and ${lastEpoch} was the last one given`);
    } catch (error) {
      wrong(`cannot be read: ${reasonOf(error)}`);
    }
  }
}

/** Checks the dead letters and their number. */
export function* verifyLetters(
  { trees, counts, problem, rows, get }: Findings,
  streams: VerifiedStreams,
): Generator<void, void, void> {
  let bytes = 0;
  for (const { key, value } of rows(trees.letters)) {
    const { stream: number, partition } = readPartitionKey(key);
    const [offset, group] = [readOffset(key), readLetterGroup(key)];
    const stream = streams.get(number);
    const place = `the letter of group ${group} at ${stream?.stream}/${partition}/${offset}`;
    const wrong = (what: string) => problem({ kind: 'letter', message: `${place} ${what}` });
    counts.letters++;
    bytes += value.length;
    if (counts.letters % rowsAtOnce === 0) yield;
    if (stream === undefined) wrong(`belongs to stream number ${number}, which does not exist`);
    else if (offset >= (stream.partitions.get(partition)?.nextOffset ?? 0)) wrong('is of a record that was never appended');
    try {
      const letter = decodeLetter(value);
      const { record } = letter;
      if (
        letter.group !== group ||
        record.stream !== stream?.stream ||
        record.partition !== partition ||
        record.offset !== offset
      )
        wrong(`says that it is ${letter.id}`);
    } catch (error) {
      wrong(`cannot be read: ${reasonOf(error)}`);
    }
  }
  const totals = get(trees.meta, Buffer.from('letters'));
  const counted = readCount(totals);
  if (counted !== counts.letters)
    problem({ kind: 'letter', message: `the store counts ${counted} dead letters and holds ${counts.letters}` });
  const countedBytes = totals === undefined ? 0 : totals.readUIntBE(6, 6);
  if (countedBytes !== bytes)
    problem({ kind: 'letter', message: `the store counts ${countedBytes} bytes of dead letters and holds ${bytes}` });
}

interface Scope {
  readonly next: number;
  readonly partitions: ReadonlyMap<number, { readonly nextOffset: number }>;
}

/** Checks the windows of ids: rows without gaps up to the next number, and each id of a record that was appended. */
export function* verifyIds(findings: Findings, streams: VerifiedStreams): Generator<void, void, void> {
  const { trees, counts, problem, rows } = findings;
  const wrong = (message: string) => problem({ kind: 'id', message });
  const scopes = readScopes(findings, streams, wrong);
  let before: { readonly scope: number; readonly end: number } | undefined;
  const endScope = (next: number | undefined) => {
    if (before === undefined || before.scope === next) return;
    const { next: expected } = scopes.get(before.scope) ?? { next: before.end };
    if (expected !== before.end)
      wrong(`window ${before.scope} of ids ends at number ${before.end}, and ${expected} is said to be next`);
  };
  for (const { key, value } of rows(trees.ids)) {
    const number = key.readUInt32BE(0);
    const { base } = readIdRowKey(key);
    const scope = scopes.get(number);
    const name = `the row of ids from ${base} on in window ${number}`;
    const items = value.length / entryBytes;
    endScope(number);
    if (scope === undefined) wrong(`${name} belongs to no window`);
    if (!Number.isInteger(items) || items === 0) wrong(`${name} has ${value.length} bytes, which are no whole number of ids`);
    if (before?.scope === number && before.end !== base) wrong(`${name} begins where ${before.end} was due`);
    before = { scope: number, end: base + Math.floor(items) };
    counts.ids += Math.floor(items);
    for (let at = 0; scope !== undefined && at + entryBytes <= value.length; at += entryBytes) {
      const { partition, offset } = readPlace(value, at);
      if (offset < (scope.partitions.get(partition)?.nextOffset ?? 0)) continue;
      wrong(`${name}: an id points to offset ${offset} of partition ${partition}, which was never appended`);
      break;
    }
    yield;
  }
  endScope(undefined);
}

function readScopes(
  { trees, rows, get }: Findings,
  streams: VerifiedStreams,
  wrong: (message: string) => void,
): Map<number, Scope> {
  const scopes = new Map<number, Scope>();
  const given = readCount(get(trees.meta, Buffer.from('next scope')));
  for (const { key, value } of rows(trees.scopes)) {
    const stream = streams.get(key.readUInt32BE(0));
    const name = `the window of ids of tenant ${key.toString('utf8', 4)} in ${stream?.stream}`;
    if (stream === undefined) wrong(`${name} belongs to stream number ${key.readUInt32BE(0)}, which does not exist`);
    if (value.length !== 10) {
      wrong(`${name} cannot be read`);
      continue;
    }
    const number = value.readUInt32BE(0);
    if (number > given || scopes.has(number)) wrong(`${name} has number ${number}, which is not its own`);
    scopes.set(number, { next: value.readUIntBE(4, 6), partitions: stream?.partitions ?? new Map() });
  }
  return scopes;
}
