/** Result: what a push prints when it ends, and its exit code. */

import type { AckLevel } from '../../gateway/receipt.js';
import type { CommandIo } from '../command-io.js';
import type { PushSummary } from './ledger.js';

/** What there is to tell. */
export interface PushResult {
  readonly summary: PushSummary;
  readonly ack: AckLevel;
  readonly seconds: number;
  /** What ended the push early. */
  readonly problem: string | undefined;
  /** Sending the whole input again adds nothing twice. */
  readonly repeatable: boolean;
  readonly json: boolean;
}

/** Prints the summary on standard output and the errors on standard error; returns the exit code. */
export function printResult(io: CommandIo, result: PushResult): number {
  const { summary, ack, seconds, problem, json } = result;
  const { items, accepted, duplicates, rejected, dead, belowAck, undelivered, errors } = summary;
  for (const { line, code, message } of errors) io.stderr.write(`line ${line}: ${code}: ${message}\n`);
  const more = rejected + dead - errors.length;
  if (more > 0) io.stderr.write(`and ${more} more lines with errors\n`);
  if (problem !== undefined) io.stderr.write(`sluice push: ${sentence(problem)} ${howToGoOn(result)}\n`);
  const rate = seconds > 0 ? Math.round(items / seconds) : 0;
  if (json) {
    const { settledLine, ...counts } = summary;
    io.stdout.write(
      `${JSON.stringify({ ...counts, ack, seconds: Number(seconds.toFixed(3)), itemsPerSecond: rate, settledLine, problem: problem ?? null })}\n`,
    );
  } else {
    io.stdout.write(
      `${items} items: ${accepted} accepted, ${duplicates} duplicates, ${rejected} rejected${notes(result)} in ${seconds.toFixed(1)} s (${rate} items/s)\n`,
    );
  }
  const complete = problem === undefined && rejected === 0 && dead === 0 && belowAck === 0 && undelivered === 0;
  return complete ? 0 : 1;
}

function notes({ summary, ack }: PushResult): string {
  const { items, duplicates, dead, belowAck, undelivered } = summary;
  const parts: string[] = [];
  if (undelivered > 0) parts.push(`, ${undelivered} not delivered`);
  if (dead > 0) parts.push(`, ${dead} parked as dead letters`);
  if (belowAck > 0) parts.push(`, ${belowAck} durable but not committed in time`);
  if (items > 0 && duplicates === items) parts.push(' (all were duplicates: nothing new was added)');
  if (ack === 'accepted' && items > 0) parts.push(' (duplicates are not known at ack=accepted)');
  return parts.join('');
}

function howToGoOn({ summary, repeatable }: PushResult): string {
  const { settledLine } = summary;
  const upTo = settledLine === 0 ? 'No line is acknowledged.' : `Every line up to ${settledLine} is acknowledged.`;
  const again =
    settledLine === 0 ? 'Run the same command again' : `Run the same command again, or go on with --from-line ${settledLine + 1}`;
  const safety = repeatable
    ? 'nothing is added twice'
    : 'events without an id of their own that had arrived would be added again';
  return `${upTo} ${again}: ${safety}.`;
}

function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return first.endsWith('.') || first.endsWith('?') ? first : `${first}.`;
}
