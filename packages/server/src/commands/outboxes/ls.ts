/** `sluice outboxes ls`: how far outboxes are behind, and what keeps one from being relayed. */

import type { CommandIo } from '../command-io.js';
import { withControl } from '../control-client.js';
import { durationText } from '../duration-text.js';
import { plain } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { table } from '../table.js';

interface OutboxAnswer {
  readonly name: string;
  readonly delivered: number;
  readonly dead: number;
  readonly lag?: { readonly items: number; readonly hasMore: boolean; readonly oldestMs: number };
  readonly problem?: string;
}

/** Prints the outboxes; resolves with the exit code. */
export function ls({ io, json = false, ...flags }: ControlFlags & { readonly io: CommandIo }): Promise<number> {
  return withControl(flags, async (control) => {
    const answer = await control.ask<{ readonly outboxes: readonly OutboxAnswer[] }>('GET', '/v1/outboxes', 'outboxes');
    if (json) io.stdout.write(`${JSON.stringify(answer)}\n`);
    else io.stdout.write(answer.outboxes.length === 0 ? 'The service relays no outbox.\n' : outboxText(answer.outboxes));
    return 0;
  });
}

function outboxText(outboxes: readonly OutboxAnswer[]): string {
  const rows = table<OutboxAnswer>(
    [
      { title: 'OUTBOX', cell: ({ name }) => name },
      { title: 'BEHIND', cell: ({ lag }) => (lag === undefined ? '?' : lag.hasMore ? `${lag.items}+` : lag.items) },
      { title: 'OLDEST', cell: ({ lag }) => (lag === undefined ? '?' : lag.items === 0 ? '-' : durationText(lag.oldestMs)) },
      { title: 'RELAYED', cell: ({ delivered }) => delivered },
      { title: 'DEAD', cell: ({ dead }) => dead },
    ],
    outboxes,
  );
  const problems = outboxes.flatMap(({ name, problem }) => (problem === undefined ? [] : [`${plain(`${name}: ${problem}`)}.\n`]));
  return rows + problems.join('');
}
