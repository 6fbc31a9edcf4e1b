/** `sluice outboxes letters`, `redrive` and `purge`: the dead letters of one outbox, which lie in a table beside it. */

import { type CommandIo, UsageError } from '../command-io.js';
import { type Query, withControl } from '../control-client.js';
import { timeText } from '../dlq/letter.js';
import { counted, plain } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { table } from '../table.js';

/** Which letters of which outbox; all that is given must hold. */
interface Chosen {
  readonly name: string;
  readonly code?: string;
  readonly id?: readonly string[];
  readonly limit?: number;
}

/** Options of all three. */
export interface LetterFlags extends ControlFlags, Chosen {
  readonly io: CommandIo;
}

interface LetterAnswer {
  readonly id: string;
  readonly stream: string;
  readonly tenant: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly lastFailedAt: number;
  readonly payload: string;
}

/** Prints letters; resolves with the exit code. Payloads only where asked for. */
export function letters({
  io,
  payload = false,
  json = false,
  ...flags
}: LetterFlags & { readonly payload?: boolean }): Promise<number> {
  return withControl(flags, async (control) => {
    const path = `${pathOf(flags)}/dead-letters`;
    const { deadLetters } = await control.ask<{ readonly deadLetters: readonly LetterAnswer[] }>(
      'GET',
      path,
      'deadLetters',
      queryOf(flags),
    );
    if (json) io.stdout.write(deadLetters.map((letter) => `${JSON.stringify(letterJson(letter, payload))}\n`).join(''));
    else io.stdout.write(deadLetters.length === 0 ? 'There are no such dead letters.\n' : letterText(deadLetters, payload));
    return 0;
  });
}

/** Puts letters back into the outbox; resolves with the exit code. */
export function redrive({ io, json = false, ...flags }: LetterFlags): Promise<number> {
  return withControl(flags, async (control) => {
    const answer = await control.ask<{ readonly redriven: number }>(
      'POST',
      `${pathOf(flags)}/redrive`,
      'redriven',
      queryOf(flags),
    );
    io.stdout.write(json ? `${JSON.stringify(answer)}\n` : `${counted(answer.redriven, 'letter')} put back into the outbox.\n`);
    return 0;
  });
}

/**
 * Removes letters for good; resolves with the exit code.
 *
 * @throws UsageError without `yes`, and without a filter and without `all`, or with both.
 */
export function purge({
  io,
  all = false,
  yes = false,
  json = false,
  ...flags
}: LetterFlags & { readonly all?: boolean; readonly yes?: boolean }): Promise<number> {
  if (all === (flags.code !== undefined || flags.id !== undefined))
    throw new UsageError('say which letters, or --all and nothing else: what is purged is gone');
  if (!yes) throw new UsageError('nothing was removed; add --yes to remove them for good');
  return withControl(flags, async (control) => {
    const query = { ...queryOf(flags), ...(all ? { all: 'true' } : {}) };
    const answer = await control.ask<{ readonly purged: number }>('DELETE', `${pathOf(flags)}/dead-letters`, 'purged', query);
    io.stdout.write(json ? `${JSON.stringify(answer)}\n` : `${counted(answer.purged, 'letter')} removed.\n`);
    return 0;
  });
}

function pathOf({ name }: Chosen): string {
  return `/v1/outboxes/${encodeURIComponent(name)}`;
}

function queryOf({ code, id, limit }: Chosen): Query {
  return { code, id, limit };
}

function letterJson({ payload, ...letter }: LetterAnswer, withPayload: boolean): object {
  return { ...letter, ...(withPayload ? { payload } : { payloadBytes: Buffer.byteLength(payload) }) };
}

function letterText(found: readonly LetterAnswer[], withPayload: boolean): string {
  const rows = table<LetterAnswer>(
    [
      { title: 'EVENT', cell: ({ id }) => id },
      { title: 'STREAM', cell: ({ stream }) => stream },
      { title: 'TENANT', cell: ({ tenant }) => tenant },
      { title: 'FAILED', cell: ({ lastFailedAt }) => timeText(lastFailedAt) },
      { title: 'TRIES', cell: ({ attempts }) => attempts },
      { title: 'CODE', cell: ({ code }) => code },
      { title: 'MESSAGE', cell: ({ message }) => (message.length > 80 ? `${message.slice(0, 79)}…` : message) },
    ],
    found,
  );
  return rows + (withPayload ? found.map(({ id, payload }) => `${plain(`${id}: ${payload}`)}\n`).join('') : '');
}
