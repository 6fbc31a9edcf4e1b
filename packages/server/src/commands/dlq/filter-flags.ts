/** Filter flags: which dead letters a command means, the same for all of them. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { whole } from '../arguments.js';
import type { Query } from '../control-client.js';

/** Which letters; all that is given must hold. */
export interface FilterFlags {
  readonly group?: string;
  readonly stream?: string;
  readonly partition?: number;
  readonly tenant?: string;
  readonly code?: string;
  readonly class?: string;
  readonly state?: string;
  readonly parkedFrom?: string;
  readonly parkedBefore?: string;
  readonly id?: readonly string[];
}

/** Adds the flags to a command. */
export function withFilter(command: Command): Command {
  return command
    .option('--group <name>', 'parked by this group')
    .option('--stream <name>', 'of this stream')
    .option('--partition <n>', 'of this partition', whole('a partition', 0, 1_023))
    .option('--tenant <name>', 'of this tenant')
    .option('--code <code>', 'failed with this code, such as PG_23505')
    .addOption(
      new Option('--class <class>', 'failed in this way').choices(['transient', 'permanent', 'unknown', 'blocked', 'rejected']),
    )
    .addOption(new Option('--state <state>', 'parked, or sent again already').choices(['parked', 'redriven']))
    .option('--parked-from <time>', 'parked at this time or later, such as 2026-01-31T12:00:00Z', time)
    .option('--parked-before <time>', 'parked before this time', time)
    .option('--id <id>', 'this letter; may be repeated', (id, others: readonly string[] = []) => [...others, id]);
}

/** The flags as the control plane wants them. */
export function filterQuery(flags: FilterFlags): Query {
  const { group, stream, partition, tenant, code, class: kind, state, parkedFrom, parkedBefore, id } = flags;
  return { group, stream, partition, tenant, code, class: kind, state, parkedFrom, parkedBefore, id };
}

/** Whether no flag narrows it down. */
export function meansAll(flags: FilterFlags): boolean {
  return Object.values(filterQuery(flags)).every((value) => value === undefined);
}

function time(text: string): string {
  if (/^\d{4}-\d{2}-\d{2}/.test(text) && !Number.isNaN(Date.parse(text))) return text;
  throw new InvalidArgumentError('Expected a time such as 2026-01-31T12:00:00Z.');
}
