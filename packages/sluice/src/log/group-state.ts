/** What a log remembers of a group in one partition, and how each act changes it. Pure: the stores write it down. */

import { SluiceError } from '../core/errors.js';
import {
  type GroupInfo,
  type GroupPosition,
  maxInFlightRanges,
  maxSettledRanges,
  type OffsetRange,
  type Ownership,
  type Suspect,
} from './position.js';
import { countOf, holds, mergeRanges, settledPosition, unsettledIn } from './ranges.js';

/** A group in one partition. */
export interface GroupState {
  readonly position: GroupPosition;
  readonly epoch: number;
  /** Claimed, and not released since. */
  readonly owned: boolean;
  readonly suspects: readonly Suspect[];
  readonly uncleanStarts: readonly number[];
  /** Records that retention removed before the group had settled them. */
  readonly expired: number;
  /** Records that the group gave up. */
  readonly skipped: number;
}

// Those nearest to the cursor are delivered first, hence the ones that matter.
const maxSuspects = 10_000;
const maxStarts = 20;

/** A group that has settled everything below `cursor`. */
export function newGroup(cursor: number): GroupState {
  const position = { cursor, settledAbove: [] };
  return { position, epoch: 0, owned: false, suspects: [], uncleanStarts: [], expired: 0, skipped: 0 };
}

/** After a claim under a new epoch; `marks` is what was in flight. */
export function claimed(state: GroupState, epoch: number, marks: readonly OffsetRange[], now: number): GroupState {
  const next = { ...state, epoch, owned: true };
  if (!state.owned) return next;
  const crashed = mergeRanges(marks).flatMap((mark) => unsettledIn(mark, state.position));
  return {
    ...next,
    suspects: addCrash(state.suspects, crashed).slice(0, maxSuspects),
    uncleanStarts: [...state.uncleanStarts, now].slice(-maxStarts),
  };
}

/** After a release. */
export function released(state: GroupState): GroupState {
  return { ...state, owned: false, uncleanStarts: [] };
}

/** After a seek under a new epoch: nobody owns it. */
export function sought(state: GroupState, epoch: number, cursor: number): GroupState {
  return { ...state, position: { cursor, settledAbove: [] }, epoch, owned: false, suspects: [] };
}

/** After a settlement: never behind where it was. */
export function moved(state: GroupState, to: GroupPosition): GroupState {
  return at(state, settledPosition(Math.max(state.position.cursor, to.cursor), to.settledAbove));
}

/** After records were given up. */
export function skipped(state: GroupState, range: OffsetRange): GroupState {
  const { cursor, settledAbove } = state.position;
  const lost = countOf(unsettledIn(range, state.position));
  const next = at(state, settledPosition(cursor, [...settledAbove, range]));
  return { ...next, skipped: state.skipped + lost };
}

/** After retention removed everything below `firstOffset`. */
export function expiredBelow(state: GroupState, firstOffset: number): GroupState {
  const { cursor, settledAbove } = state.position;
  if (cursor >= firstOffset) return state;
  const lost = countOf(unsettledIn({ first: cursor, last: firstOffset - 1 }, state.position));
  return { ...at(state, settledPosition(firstOffset, settledAbove)), expired: state.expired + lost };
}

/** What is public of a group's state. */
export function groupInfo(group: string, stream: string, partition: number, state: GroupState): GroupInfo {
  const { position, epoch, owned, expired, skipped: givenUp } = state;
  return {
    group,
    stream,
    partition,
    cursor: position.cursor,
    rangesAbove: position.settledAbove.length,
    settledAbove: countOf(position.settledAbove),
    epoch,
    owned,
    expired,
    skipped: givenUp,
  };
}

/**
 * The state, when it belongs to `owner`.
 *
 * @throws SluiceError `FENCED`
 */
export function ownedBy(owner: Ownership, state: GroupState | undefined): GroupState {
  if (state?.owned === true && state.epoch === owner.epoch) return state;
  const { group, stream, partition, epoch } = owner;
  const now = state === undefined ? 'there is no such group' : `its epoch is ${state.epoch}${state.owned ? '' : ', unowned'}`;
  throw new SluiceError(
    `group ${JSON.stringify(group)} in stream ${JSON.stringify(stream)}, partition ${partition}: epoch ${epoch} has been fenced (${now}); nothing was moved. Claim it again.`,
    { code: 'FENCED', class: 'rejected' },
  );
}

/**
 * Checks a position that an owner writes.
 *
 * @throws SluiceError `INVALID_VALUE`
 */
export function checkPosition({ cursor, settledAbove }: GroupPosition, nextOffset: number): void {
  if (!(Number.isSafeInteger(cursor) && cursor >= 0 && cursor <= nextOffset)) {
    throw invalid(`a cursor must be a whole number from 0 to ${nextOffset}, the next offset; got ${cursor}`);
  }
  if (settledAbove.length > maxSettledRanges) {
    throw invalid(`${settledAbove.length} ranges are settled above the cursor: at most ${maxSettledRanges} are stored`);
  }
  checkRanges(settledAbove, nextOffset);
}

/**
 * Checks marks of what is in flight.
 *
 * @throws SluiceError `INVALID_VALUE`
 */
export function checkMarks(ranges: readonly OffsetRange[]): void {
  if (ranges.length > maxInFlightRanges) {
    throw invalid(`${ranges.length} ranges are in flight: at most ${maxInFlightRanges} are stored`);
  }
  checkRanges(ranges, Number.MAX_SAFE_INTEGER);
}

/**
 * Checks ranges of offsets.
 *
 * @throws SluiceError `INVALID_VALUE`
 */
export function checkRanges(ranges: readonly OffsetRange[], nextOffset: number): void {
  for (const { first, last } of ranges) {
    if (Number.isSafeInteger(first) && Number.isSafeInteger(last) && first >= 0 && last >= first && last < nextOffset) continue;
    throw invalid(`a range of offsets must lie below ${nextOffset}, the next offset, first before last; got ${first} to ${last}`);
  }
}

function at(state: GroupState, position: GroupPosition): GroupState {
  if (state.suspects.length === 0) return { ...state, position };
  const suspects = state.suspects.flatMap((suspect) =>
    unsettledIn(suspect, position).map((range) => ({ ...range, crashes: suspect.crashes })),
  );
  return { ...state, position, suspects };
}

/** Counts one crash more for each offset of `crashed`. Both are ascending and disjoint. */
function addCrash(suspects: readonly Suspect[], crashed: readonly OffsetRange[]): Suspect[] {
  const edges = new Set<number>();
  for (const { first, last } of [...suspects, ...crashed]) edges.add(first).add(last + 1);
  const sorted = [...edges].sort((a, b) => a - b);
  const result: { first: number; last: number; crashes: number }[] = [];
  let next = 0;
  for (let i = 0; i + 1 < sorted.length; i++) {
    const first = sorted[i]!;
    const last = sorted[i + 1]! - 1;
    while (next < suspects.length && suspects[next]!.last < first) next++;
    const known = suspects[next];
    const before = known !== undefined && known.first <= first ? known.crashes : 0;
    const crashes = before + (holds(crashed, first) ? 1 : 0);
    const previous = result.at(-1);
    if (crashes === 0) continue;
    if (previous?.last === first - 1 && previous.crashes === crashes) previous.last = last;
    else result.push({ first, last, crashes });
  }
  return result;
}

function invalid(message: string): SluiceError {
  return new SluiceError(message, { code: 'INVALID_VALUE', class: 'rejected' });
}
