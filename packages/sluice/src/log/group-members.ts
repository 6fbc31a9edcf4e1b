/** Group members: the consumers of a group in this process, and which of them reads which partition. */

import { assign } from './assignment.js';
import type { Log } from './log.js';
import type { Position } from './record.js';
import { createSettledWaiters, type SettledWaiters } from './settled-waiters.js';

/** One consumer, as its group sees it. */
export interface Member {
  /** Reads a partition from now on. */
  grant(partition: number): void;
  /** Reads it no more; resolves once it is drained and released. */
  revoke(partition: number): Promise<void>;
  /** What it is to read, now or soon, of a group of so many consumers. Nothing: it is idle, and steps in when another leaves. */
  assigned(partitions: readonly number[], consumers: number): void;
  /** Does something while nobody reads the partition, and reads on behind it. */
  between<T>(partition: number, act: () => Promise<T>): Promise<T>;
  /** Somebody waits for these records of the group. */
  awaited(records: readonly Position[]): void;
}

/** The consumers of a group in this process. */
export interface GroupMembers {
  /** Shared by all of them: whoever waits for a record does not know who reads it. */
  readonly waiters: SettledWaiters;
  /** Tells all of them that somebody waits for these records. */
  awaited(records: readonly Position[]): void;
  /** Takes one more in. Partitions move to it until nobody has two more than another: drained first, then claimed anew. */
  join(member: Member): Membership;
}

/** The membership of one consumer. */
export interface Membership {
  /** Does something while no consumer of the group in this process reads the partition. */
  between<T>(partition: number, act: () => Promise<T>): Promise<T>;
  /** Leaves: what it read goes to the others. It must have drained it before. */
  leave(): void;
}

/** Groups of each log, by stream and group: they go with the log. One without a consumer stays: somebody may wait for what its next one settles. */
const groups = new WeakMap<Log, Map<string, GroupMembers>>();

/** The consumers of a group in this process. Other processes know of each other by the epochs alone. */
export function groupMembers(log: Log, group: string, stream: string, partitions: number): GroupMembers {
  const ofLog = groups.get(log) ?? new Map<string, GroupMembers>();
  groups.set(log, ofLog);
  const name = JSON.stringify([stream, group]);
  const known = ofLog.get(name) ?? createMembers(partitions);
  ofLog.set(name, known);
  return known;
}

function createMembers(partitions: number): GroupMembers {
  const waiters = createSettledWaiters();
  const members: Member[] = [];
  const owners = new Array<Member | undefined>(partitions).fill(undefined);
  /** Who is to have each partition: an owner that is not wanted hands over first. */
  let wanted: readonly (Member | undefined)[] = owners;
  const moving = new Map<number, Promise<void>>();

  function rebalance(): void {
    const before = wanted;
    // By whom it is wanted, not by who has it still: what is on its way keeps its goal.
    wanted = assign(
      wanted.map((member) => (member !== undefined && members.includes(member) ? member : undefined)),
      members,
    );
    for (let partition = 0; partition < partitions; partition++) {
      settle(partition);
    }
    for (const member of members) {
      const its = partitionsOf(wanted, member);
      if (!sameList(its, partitionsOf(before, member)) || its.length === 0) member.assigned(its, members.length);
    }
  }

  function settle(partition: number): void {
    if (moving.has(partition) || owners[partition] === wanted[partition]) return;
    const moved = move(partition).then(() => {
      moving.delete(partition);
      // Another may have been wanted in the very turn in which it was over.
      settle(partition);
    });
    moving.set(partition, moved);
  }

  /** Drained first, claimed second: two owners never hold the same record. */
  async function move(partition: number): Promise<void> {
    for (let to = wanted[partition]; owners[partition] !== to; to = wanted[partition]) {
      const owner = owners[partition];
      owners[partition] = undefined;
      if (owner === undefined) {
        owners[partition] = to;
        to!.grant(partition);
      } else await owner.revoke(partition);
    }
  }

  /** Who has it, once it is in nobody's way any more. */
  async function between<T>(partition: number, act: () => Promise<T>): Promise<T> {
    await moving.get(partition);
    const owner = owners[partition];
    return owner === undefined ? act() : owner.between(partition, act);
  }

  return {
    waiters,
    awaited(records) {
      for (const member of members) member.awaited(records);
    },
    join(member) {
      members.push(member);
      rebalance();
      return {
        between,
        leave() {
          const at = members.indexOf(member);
          if (at < 0) return;
          members.splice(at, 1);
          for (let partition = 0; partition < partitions; partition++) {
            if (owners[partition] === member && !moving.has(partition)) owners[partition] = undefined;
          }
          rebalance();
        },
      };
    },
  };
}

function partitionsOf(owners: readonly unknown[], member: Member): number[] {
  const its: number[] = [];
  for (const [partition, owner] of owners.entries()) if (owner === member) its.push(partition);
  return its;
}

function sameList(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
