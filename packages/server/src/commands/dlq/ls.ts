/** `sluice dlq ls`: dead letters, page by page. */

import type { CommandIo } from '../command-io.js';
import { type ControlClient, withControl } from '../control-client.js';
import { counted } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { table } from '../table.js';
import { type FilterFlags, filterQuery } from './filter-flags.js';
import { type LetterAnswer, letterJson, timeText } from './letter.js';

/** Options of {@link ls}. */
export interface LsOptions extends ControlFlags, FilterFlags {
  /** Letters at most. */
  readonly limit: number;
  /** Print payloads too, in JSON. Default false. */
  readonly payload?: boolean;
  readonly io: CommandIo;
}

interface Page {
  readonly deadLetters: readonly LetterAnswer[];
  readonly next?: string;
}

const pageItems = 500;

/** Prints letters; resolves with the exit code. */
export function ls({ io, json = false, payload = false, ...options }: LsOptions): Promise<number> {
  return withControl(options, async (control) => {
    let printed = 0;
    let more = false;
    for await (const page of pages(control, options)) {
      more = page.next !== undefined;
      const letters = page.deadLetters;
      // Printed as they come: a list of a million letters is never in memory.
      if (json) io.stdout.write(letters.map((letter) => `${JSON.stringify(letterJson(letter, payload))}\n`).join(''));
      else if (letters.length > 0) io.stdout.write(letterTable(letters));
      printed += letters.length;
    }
    if (!json && printed === 0) io.stdout.write('There are no such dead letters.\n');
    if (!json && more)
      io.stderr.write(`sluice dlq: these are the first ${counted(printed, 'letter')}; there are more, see --limit.\n`);
    return 0;
  });
}

async function* pages(control: ControlClient, { limit, ...flags }: Omit<LsOptions, 'io'>): AsyncGenerator<Page, void, undefined> {
  let after: string | undefined;
  for (let left = limit; left > 0; ) {
    const query = { ...filterQuery(flags), limit: Math.min(left, pageItems), after };
    const page = await control.ask<Page>('GET', '/v1/dead-letters', 'deadLetters', query);
    yield page;
    left -= page.deadLetters.length;
    after = page.next;
    if (after === undefined) return;
  }
}

function letterTable(letters: readonly LetterAnswer[]): string {
  return table(
    [
      { title: 'ID', cell: ({ id }) => id },
      { title: 'EVENT', cell: ({ record }) => record.id },
      { title: 'TENANT', cell: ({ record }) => record.tenant },
      { title: 'STATE', cell: ({ state }) => state },
      { title: 'PARKED', cell: ({ parkedAt }) => timeText(parkedAt) },
      { title: 'TRIES', cell: ({ attempts }) => attempts },
      { title: 'CODE', cell: ({ code }) => code },
      { title: 'MESSAGE', cell: ({ message }) => (message.length > 80 ? `${message.slice(0, 79)}…` : message) },
    ],
    letters,
  );
}
