/** Result of a load: its summary for people, or as one JSON document. */

import type { CommandIo } from '../command-io.js';
import { counted } from '../log/print.js';
import { table } from '../table.js';
import type { Counts, Latencies } from './measure.js';
import type { Plan } from './plan.js';
import type { Recorder, Series } from './record.js';

/** How long it took. */
export interface Spans {
  /** From the first measured request to when the last one was due, in milliseconds. */
  readonly sentMs: number;
  /** To the last answer. */
  readonly answeredMs: number;
  readonly interrupted: boolean;
}

/** What there is to tell. */
export interface LoadResult {
  readonly plan: Plan;
  readonly recorder: Recorder;
  readonly spans: Spans;
  readonly json: boolean;
}

/** From here on the generator says that it was its own bottleneck: its p99, in milliseconds. */
const lateMs = 10;

/** Whether all was taken, at the level asked for. */
export function isClean({ events, reads, items }: Recorder, { interrupted }: Spans): boolean {
  const bad = ({ refused, lost, notSent }: Counts): number => refused + lost + notSent;
  return !interrupted && bad(events.counts) + bad(reads.counts) + items.rejected + items.belowAck + items.dead === 0;
}

/** Prints it. */
export function printResult(io: CommandIo, result: LoadResult): void {
  const { recorder, json } = result;
  io.stdout.write(json ? `${JSON.stringify(resultJson(result))}\n` : resultText(result));
  const { p99 } = recorder.late.latencies();
  if (p99 > lateMs)
    io.stderr.write(
      `sluice load: the generator itself was late (p99 ${p99} ms), which is part of the latencies: it has not enough of the processor; lower the rate, use larger batches, or run it on another machine.\n`,
    );
}

function resultJson({ plan, recorder, spans }: LoadResult): object {
  const { stream, ack, rate, batch, bytes, format, connections, senders } = plan;
  const { events, reads, items, late } = recorder;
  const { errors, ...counts } = items;
  return {
    plan: { stream, ack, rate, batch, bytes, format, connections, senders: senders.length, reads: plan.reads },
    seconds: round(spans.answeredMs / 1_000),
    interrupted: spans.interrupted,
    events: {
      ...counts,
      sentPerSecond: perSecond(items.sent, spans.sentMs),
      takenPerSecond: perSecond(items.accepted + items.duplicates, spans.answeredMs),
      errors: Object.fromEntries(errors),
    },
    requests: seriesJson(events),
    reads: seriesJson(reads),
    senders: senders.map(({ name = null }, i) => {
      const { counts: its, times } = recorder.senders[i]!;
      return { name, ...countsJson(its), latencyMs: times.latencies() };
    }),
    generator: { lateMs: late.latencies() },
  };
}

function seriesJson({ counts, times, sentTimes, refusedTimes }: Series): object {
  return {
    ...countsJson(counts),
    latencyMs: times.latencies(),
    latencyFromSendMs: sentTimes.latencies(),
    refusedLatencyMs: refusedTimes.latencies(),
  };
}

function countsJson({ statuses, refusedByCode, lostByCode, ...counts }: Counts): object {
  const named = {
    statuses: Object.fromEntries(statuses),
    refusedByCode: Object.fromEntries(refusedByCode),
    lostByCode: Object.fromEntries(lostByCode),
  };
  return { ...counts, ...named };
}

function resultText({ plan, recorder, spans }: LoadResult): string {
  const { events, reads, items, late } = recorder;
  const lines: string[] = [];
  if (items.sent > 0) {
    const taken = items.accepted + items.duplicates;
    lines.push(
      `events    ${counted(items.sent, 'event')} sent (${perSecond(items.sent, spans.sentMs).toLocaleString('en')}/s), ` +
        `${taken.toLocaleString('en')} taken (${perSecond(taken, spans.answeredMs).toLocaleString('en')}/s)${itemNotes(recorder)}`,
    );
  }
  for (const [name, series] of [
    ['requests', events],
    ['reads', reads],
  ] as const)
    if (series.counts.requests > 0) lines.push(`${name.padEnd(10)}${countsText(series.counts)}`);
  lines.push('', latencyTable(recorder).trimEnd());
  if (plan.senders.length > 1) lines.push('', senderTable(plan, recorder).trimEnd());
  const { p50, p99, max } = late.latencies();
  lines.push(
    '',
    `The generator was late by ${p50} ms in the middle, p99 ${p99} ms, at most ${max} ms; that is part of the latencies.`,
  );
  if (spans.interrupted) lines.push('Interrupted.');
  return lines.map((line) => `${line}\n`).join('');
}

function itemNotes({ items }: Recorder): string {
  const parts = [
    [items.duplicates, 'duplicates'],
    [items.rejected, 'rejected'],
    [items.belowAck, 'below the level asked for'],
    [items.dead, 'parked as dead letters'],
  ] as const;
  const named = [...items.errors].map(([code, count]) => `${code} ${count.toLocaleString('en')}`);
  const notes = parts.filter(([count]) => count > 0).map(([count, what]) => `, ${count.toLocaleString('en')} ${what}`);
  return `${notes.join('')}${named.length === 0 ? '' : ` (${named.join(', ')})`}`;
}

function countsText({ requests, statuses, refusedByCode, lost, lostByCode, notSent }: Counts): string {
  const listed = (of: ReadonlyMap<string | number, number>): string =>
    [...of].map(([name, count]) => `${name} ${count.toLocaleString('en')}`).join(', ');
  const parts = [counted(requests, 'request'), `answered with ${statuses.size === 0 ? 'nothing' : listed(statuses)}`];
  if (refusedByCode.size > 0) parts.push(`refused: ${listed(refusedByCode)}`);
  if (lost > 0) parts.push(`lost: ${listed(lostByCode)}`);
  if (notSent > 0) parts.push(`not sent, for too many were without an answer: ${notSent.toLocaleString('en')}`);
  return parts.join('; ');
}

function latencyTable({ events, reads }: Recorder): string {
  const rows: { readonly name: string; readonly of: Latencies }[] = [
    { name: 'events', of: events.times.latencies() },
    { name: '  from when they were sent', of: events.sentTimes.latencies() },
    { name: '  refused', of: events.refusedTimes.latencies() },
    { name: 'reads', of: reads.times.latencies() },
    { name: '  from when they were sent', of: reads.sentTimes.latencies() },
    { name: '  refused', of: reads.refusedTimes.latencies() },
  ];
  const present = rows.filter(({ of }) => of.count > 0);
  return table(
    [{ title: 'LATENCY, MS', cell: ({ name }) => name }, ...latencyColumns(({ of }: (typeof rows)[number]) => of)],
    present,
  );
}

/** Of many senders the first ones: all of them are in the JSON. */
const shownSenders = 20;

function senderTable({ senders }: Plan, recorder: Recorder): string {
  const rows = senders.slice(0, shownSenders).map(({ name }, i) => ({
    name: name ?? '-',
    counts: recorder.senders[i]!.counts,
    of: recorder.senders[i]!.times.latencies(),
  }));
  type Row = (typeof rows)[number];
  return table<Row>(
    [
      { title: 'KEY', cell: ({ name }) => name },
      { title: 'REQUESTS', cell: ({ counts }) => counts.requests },
      { title: 'TAKEN', cell: ({ counts }) => counts.taken },
      { title: 'REFUSED', cell: ({ counts }) => counts.refused },
      { title: 'LOST', cell: ({ counts }) => counts.lost + counts.notSent },
      ...latencyColumns(({ of }: Row) => of),
    ],
    rows,
  );
}

function latencyColumns<Row>(of: (row: Row) => Latencies) {
  const columns = ['p50', 'p90', 'p99', 'p99_9', 'p99_99', 'max'] as const;
  return columns.map((name) => ({ title: name.toUpperCase().replace('_', '.'), cell: (row: Row) => of(row)[name] }));
}

function perSecond(count: number, ms: number): number {
  return round((count * 1_000) / ms);
}

function round(value: number): number {
  return Number(value.toPrecision(value >= 1_000 ? 6 : 4));
}
