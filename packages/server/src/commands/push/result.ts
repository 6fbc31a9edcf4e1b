/** Result: what a push prints when it ends, and its exit code. */

import type { AckLevel } from '../../gateway/receipt.js';
import { type CommandIo, sentence } from '../command-io.js';
import type { PushSummary } from './ledger.js';

/** What ended a push early. */
export interface PushProblem {
  readonly message: string;
  /** The same command again may succeed. */
  readonly againHelps: boolean;
}

/** What there is to tell. */
export interface PushResult {
  readonly summary: PushSummary;
  readonly ack: AckLevel;
  readonly seconds: number;
  readonly problem: PushProblem | undefined;
  /** Sending the whole input again adds nothing twice. */
  readonly repeatable: boolean;
  readonly json: boolean;
}

/** Prints the summary on standard output and the errors on standard error; returns the exit code. */
export function printResult(io: CommandIo, result: PushResult): number {
  const { summary, ack, seconds, problem, json } = result;
  const { items, rejected, dead, belowAck, withoutId, undelivered, errors } = summary;
  for (const { line, code, message } of errors) io.stderr.write(`line ${line}: ${code}: ${message}\n`);
  const more = rejected + dead - errors.length;
  const letter = errors.find(({ letters }) => letters !== undefined)?.letters?.[0];
  if (more > 0) io.stderr.write(`and ${counted(more, 'more line')} with errors\n`);
  if (letter !== undefined) io.stderr.write(`sluice push: \`sluice dlq show ${letter}\` says why it was parked.\n`);
  if (problem !== undefined) io.stderr.write(`sluice push: ${sentence(problem.message)} ${howToGoOn(result)}\n`);
  if (json) {
    const { settledLine, ...counts } = summary;
    const itemsPerSecond = seconds > 0 ? Math.round((items - undelivered) / seconds) : 0;
    io.stdout.write(
      `${JSON.stringify({ ...counts, ack, seconds: Number(seconds.toFixed(3)), itemsPerSecond, settledLine, problem: problem?.message ?? null })}\n`,
    );
  } else {
    io.stdout.write(`${totals(result)}\n`);
  }
  if (withoutId > 0) {
    const it = withoutId === 1 ? 'it' : 'them';
    io.stderr.write(
      `sluice push: ${counted(withoutId, 'event')} had no id: pushing this again adds ${it} again; --id FIELD or --id hash makes that safe.\n`,
    );
  }
  const complete = problem === undefined && rejected === 0 && dead === 0 && belowAck === 0 && undelivered === 0;
  return complete ? 0 : 1;
}

function totals(result: PushResult): string {
  const { summary, seconds, problem } = result;
  const { items, accepted, duplicates, rejected, undelivered } = summary;
  // What was read until a push gave up is not what the input holds.
  const total = problem === undefined ? counted(items, 'item') : `${counted(items, 'line')} read`;
  const settled = items - undelivered;
  // The start of the process is most of a short push: a rate would say nothing about the gateway.
  const rate = seconds >= 1 && settled >= 100 ? ` (${Math.round(settled / seconds)} items/s)` : '';
  return `${total}: ${accepted} accepted, ${counted(duplicates, 'duplicate')}, ${rejected} rejected${notes(result)} in ${seconds.toFixed(seconds < 1 ? 2 : 1)} s${rate}`;
}

function notes({ summary, ack }: PushResult): string {
  const { items, duplicates, dead, belowAck, undelivered } = summary;
  const parts: string[] = [];
  if (undelivered > 0) parts.push(`, ${undelivered} not delivered`);
  if (dead > 0) parts.push(`, ${dead} parked as dead ${dead === 1 ? 'letter' : 'letters'}`);
  if (belowAck > 0) parts.push(`, ${belowAck} durable but not committed in time`);
  if (items > 0 && duplicates === items) parts.push(' (all were duplicates: nothing new was added)');
  if (ack === 'accepted' && items > 0) parts.push(' (duplicates are not known at ack=accepted)');
  return parts.join('');
}

function howToGoOn({ summary, problem, repeatable }: PushResult): string {
  const { settledLine, withoutId } = summary;
  const upTo = settledLine === 0 ? 'No line is acknowledged.' : `Every line up to ${settledLine} is acknowledged.`;
  if (problem?.againHelps !== true) return upTo;
  const ways: string[] = [];
  if (settledLine === 0 || withoutId === 0) ways.push('run the same command again');
  if (settledLine > 0) ways.push(`go on with --from-line ${settledLine + 1}`);
  const text = ways.join(', or ');
  const safety = repeatable ? 'nothing is added twice' : 'events without an id that had arrived would be added again';
  return `${upTo} ${text.charAt(0).toUpperCase()}${text.slice(1)}: ${safety}.`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
