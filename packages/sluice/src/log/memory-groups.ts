/** The consumer groups of a log in memory. */

import type { Env } from '../env/env.js';
import {
  checkMarks,
  checkPosition,
  checkRanges,
  claimed,
  type GroupState,
  groupInfo,
  moved,
  ownedBy,
  released,
  skipped,
  sought,
} from './group-state.js';
import { checkName, checkPartition } from './limits.js';
import type { Log, RetentionReport } from './log.js';
import type { MemoryLetters } from './memory-letters.js';
import {
  groupIn,
  type MemoryGroup,
  type MemoryPartition,
  type MemoryStore,
  type MemoryStream,
  nextOffset,
  resolveStart,
  retainPartition,
} from './memory-store.js';
import type { GroupInfo, Lag, Ownership } from './position.js';
import { holds } from './ranges.js';

/** The part of the contract that is about groups, and retention. */
export interface MemoryGroups
  extends Pick<
    Log,
    'createGroup' | 'deleteGroup' | 'groups' | 'position' | 'lag' | 'claim' | 'inFlight' | 'settle' | 'skip' | 'release' | 'seek'
  > {
  retain(): RetentionReport;
  retainStream(stream: string): void;
}

/** The groups over a store. */
export function memoryGroups(
  store: MemoryStore,
  env: Env,
  letters: MemoryLetters,
  streamOf: (stream: string) => MemoryStream,
): MemoryGroups {
  const { streams } = store;

  return {
    async createGroup(group, stream, from = 'start') {
      checkName('group', group);
      checkName('stream', stream);
      const known = streamOf(stream);
      if (known.groups.has(group)) return false;
      groupIn(known, group, from);
      return true;
    },
    async deleteGroup(group, stream) {
      const known = streams.get(stream);
      const deleted = known?.groups.delete(group) ?? false;
      if (deleted) retainStream(stream);
      return deleted;
    },
    async groups({ group, stream } = {}) {
      const infos: GroupInfo[] = [];
      for (const [of, known] of streams) {
        if (stream !== undefined && of !== stream) continue;
        for (const [name, partitions] of known.groups) {
          if (group !== undefined && name !== group) continue;
          partitions.forEach(({ state }, partition) => void infos.push(groupInfo(name, of, partition, state)));
        }
      }
      return infos;
    },
    position: async (group, stream, partition) => streams.get(stream)?.groups.get(group)?.[partition]?.state.position,
    async lag(group, stream) {
      const known = streams.get(stream);
      const groups = known?.groups.get(group);
      if (known === undefined || groups === undefined) return [];
      const now = env.clock.wall();
      return groups.map(({ state }, partition) => lagOf(known.partitions[partition]!, partition, state, now));
    },
    async claim(group, stream, partition) {
      checkName('group', group);
      checkName('stream', stream);
      const known = streamOf(stream);
      checkPartition(stream, partition, known.partitions.length);
      const place = groupIn(known, group, 'start')[partition]!;
      place.state = claimed(place.state, ++store.epoch, place.marks, env.clock.wall());
      place.marks = [];
      const { epoch, position, suspects, uncleanStarts } = place.state;
      return { group, stream, partition, epoch, position, suspects, uncleanStarts };
    },
    async inFlight(owner, ranges) {
      checkMarks(ranges);
      owned(owner).marks = [...ranges];
    },
    async settle(owner, { position, delivered = [], dead = [] }) {
      const place = owned(owner);
      const end = nextOffset(streams.get(owner.stream)!.partitions[owner.partition]!);
      if (position !== undefined) checkPosition(position, end);
      checkRanges(delivered, end);
      letters.move(owner, dead, delivered);
      if (position === undefined) return;
      place.state = moved(place.state, position);
      retainStream(owner.stream);
    },
    async skip(owner, range) {
      const place = owned(owner);
      checkRanges([range], nextOffset(streams.get(owner.stream)!.partitions[owner.partition]!));
      place.state = skipped(place.state, range);
      retainStream(owner.stream);
      return place.state.position;
    },
    async release(owner) {
      const place = placeOf(owner);
      if (place?.state.owned !== true || place.state.epoch !== owner.epoch) return;
      place.state = released(place.state);
      place.marks = [];
    },
    async seek(group, stream, partition, to) {
      checkName('group', group);
      checkName('stream', stream);
      const known = streamOf(stream);
      checkPartition(stream, partition, known.partitions.length);
      const place = groupIn(known, group, 'start')[partition]!;
      place.state = sought(place.state, ++store.epoch, resolveStart(known.partitions[partition]!, to));
      place.marks = [];
      return place.state.position;
    },
    retain() {
      const report = { records: 0, bytes: 0, expired: 0, letters: letters.expire(env.clock.wall()) };
      for (const stream of streams.keys()) {
        const { records, bytes, expired } = retainStream(stream);
        report.records += records;
        report.bytes += bytes;
        report.expired += expired;
      }
      return report;
    },
    retainStream: (stream) => void retainStream(stream),
  };

  function placeOf({ group, stream, partition }: Ownership): MemoryGroup | undefined {
    return streams.get(stream)?.groups.get(group)?.[partition];
  }

  function owned(owner: Ownership): MemoryGroup {
    const place = placeOf(owner);
    ownedBy(owner, place?.state);
    return place!;
  }

  function retainStream(stream: string): Omit<RetentionReport, 'letters'> {
    const known = streams.get(stream);
    const report = { records: 0, bytes: 0, expired: 0 };
    for (let partition = 0; partition < (known?.partitions.length ?? 0); partition++) {
      const { records, bytes } = retainPartition(known!, partition, env.clock.wall(), (group, items) => {
        report.expired += items;
        env.observe({ type: 'expired', stream, partition, group, items });
      });
      report.records += records;
      report.bytes += bytes;
    }
    return report;
  }
}

function lagOf(partition: MemoryPartition, index: number, { position }: GroupState, now: number): Lag {
  let items = 0;
  let bytes = 0;
  let oldestMs = 0;
  for (let i = Math.max(0, position.cursor - partition.firstOffset); i < partition.records.length; i++) {
    const { record, bytes: size } = partition.records[i]!;
    if (holds(position.settledAbove, record.offset)) continue;
    if (items === 0) oldestMs = Math.max(0, now - record.receivedAt);
    items++;
    bytes += size;
  }
  return { partition: index, items, bytes, oldestMs };
}
