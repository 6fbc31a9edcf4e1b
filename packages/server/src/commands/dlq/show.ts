/** `sluice dlq show`: all that is known of one dead letter. */

import { type CommandIo, UsageError } from '../command-io.js';
import { withControl } from '../control-client.js';
import { counted, plain } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { type LetterAnswer, letterJson, timeText } from './letter.js';

/** Options of {@link show}. */
export interface ShowOptions extends ControlFlags {
  readonly id: string;
  /** Print the payload too. Default false. */
  readonly payload?: boolean;
  readonly io: CommandIo;
}

/** Prints a letter; resolves with the exit code. */
export function show({ io, id, payload = false, ...flags }: ShowOptions): Promise<number> {
  if (!/^[^/]+\/[^/]+\/\d+\/\d+$/.test(id))
    throw new UsageError('expected the id of a letter, GROUP/STREAM/PARTITION/OFFSET, as `sluice dlq ls` prints it');
  return withControl(flags, async (control) => {
    // The names in an id are percent-encoded already, and stay so.
    const path = `/v1/dead-letters/letters/${id.split('/').map(encodeURIComponent).join('/')}`;
    const letter = await control.ask<LetterAnswer>('GET', path, 'record');
    io.stdout.write(flags.json ? `${JSON.stringify(letterJson(letter, payload))}\n` : letterText(letter, payload));
    return 0;
  });
}

function before({ firstParkedAt, parkedAt }: LetterAnswer): string {
  return firstParkedAt === parkedAt ? '' : `, before that ${timeText(firstParkedAt)}`;
}

function letterText(letter: LetterAnswer, withPayload: boolean): string {
  const { record, attempts, timeouts, crashes, tries, redrives, redrivenAt } = letter;
  const facts: [string, string | null][] = [
    ['letter', letter.id],
    [
      'state',
      redrivenAt === null
        ? letter.state
        : `${letter.state}, sent again ${counted(redrives, 'time')}, last ${timeText(redrivenAt)}`,
    ],
    ['event', record.id],
    ['tenant', record.tenant],
    ['key', record.key],
    ['time', record.time],
    ['received', timeText(record.receivedAt)],
    ['parked', `${timeText(letter.parkedAt)} by the group ${letter.group}${before(letter)}`],
    ['trace', record.trace],
    ['code', `${letter.code} (${letter.class})`],
    ['message', letter.message],
    [
      'tried',
      `${counted(attempts, 'time')}, ${timeouts} timed out, in flight at ${counted(crashes, 'crash')}`.replace(
        'crashs',
        'crashes',
      ),
    ],
  ];
  const lines = facts.flatMap(([what, text]) => (text === null ? [] : [`${what.padEnd(10)}${plain(text)}\n`]));
  const failed = tries.map(
    ({ at, class: kind, code, message }) => `  ${timeText(at)}  ${plain(`${code} (${kind}): ${message}`)}\n`,
  );
  const body = withPayload
    ? plain(record.payload)
    : `${counted(Buffer.byteLength(record.payload), 'byte')}; --payload prints them`;
  return [...lines, ...failed, `${'payload'.padEnd(10)}${body}\n`].join('');
}
