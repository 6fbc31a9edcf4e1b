/** `sluice dlq purge`: dead letters removed for good, when somebody says yes. */

import { type CommandIo, UsageError } from '../command-io.js';
import { withControl } from '../control-client.js';
import { counted } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { type FilterFlags, filterQuery, meansAll } from './filter-flags.js';

/** Options of {@link purge}. */
export interface PurgeOptions extends ControlFlags, FilterFlags {
  /** All letters, where no filter is given. Default false. */
  readonly all?: boolean;
  /** Only counts. Default false. */
  readonly dryRun?: boolean;
  /** Without it, nothing is removed. Default false. */
  readonly yes?: boolean;
  readonly io: CommandIo;
}

/**
 * Removes letters; resolves with the exit code: 2 when they were only counted for want of `yes`.
 *
 * @throws UsageError without a filter and without `all`, or with both.
 */
export function purge({ io, all = false, dryRun = false, yes = false, json = false, ...flags }: PurgeOptions): Promise<number> {
  if (meansAll(flags) !== all) {
    const problem = all
      ? '--all means every letter, whatever else is given; leave it or the filter away'
      : 'say which letters, or --all';
    throw new UsageError(`${problem}: what is purged is gone`);
  }
  return withControl(flags, async (control) => {
    const remove = yes && !dryRun;
    const query = { ...filterQuery(flags), ...(all ? { all: 'true' } : {}), ...(remove ? {} : { dry: 'true' }) };
    const answer = await control.ask<{ readonly matching: number; readonly purged: number }>(
      'DELETE',
      '/v1/dead-letters',
      'purged',
      query,
    );
    const { matching, purged } = answer;
    if (json) io.stdout.write(`${JSON.stringify(answer)}\n`);
    else
      io.stdout.write(remove ? `${counted(purged, 'letter')} removed.\n` : `${counted(matching, 'letter')} would be removed.\n`);
    if (remove || dryRun) return 0;
    io.stderr.write('sluice dlq: nothing was removed; add --yes to remove them for good.\n');
    return 2;
  });
}
