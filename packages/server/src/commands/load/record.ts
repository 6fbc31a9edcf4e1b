/** Record: all that a load measures, request by request. */

import type { Receipt } from '../../gateway/receipt.js';
import { errorIn, jsonObject } from '../json-object.js';
import { type Counts, countIn, createCounts, createEventCounts, createTimes, type EventCounts, type Times } from './measure.js';
import type { Plan } from './plan.js';

/** What a request is. */
export interface Intent {
  readonly kind: 'events' | 'read';
  /** When it was to be sent. */
  readonly dueAt: number;
  /** Index of its sender. */
  readonly sender: number;
  /** Outside of the warm-up. */
  readonly measured: boolean;
}

/** Requests of one kind, with their times. */
export interface Series {
  readonly counts: Counts;
  /** From when it was due to the whole answer, of what was taken. */
  readonly times: Times;
  /** The same from when it was sent: what a closed loop would have seen. */
  readonly sentTimes: Times;
  /** From when it was due, of what was refused. */
  readonly refusedTimes: Times;
}

/** Requests of one sender. */
export interface SenderSeries {
  readonly counts: Counts;
  readonly times: Times;
}

/** Takes down what happens. */
export interface Recorder {
  readonly events: Series;
  readonly reads: Series;
  readonly items: EventCounts;
  readonly senders: readonly SenderSeries[];
  /** How late requests were handed to a connection, or to the queue for one. */
  readonly late: Times;
  due(intent: Intent, now: number): void;
  notSent(intent: Intent): void;
  answered(
    intent: Intent,
    answer: { readonly status: number; readonly text: string; readonly sentAt: number; readonly now: number },
  ): void;
  lost(intent: Intent, code: string): void;
}

/** Records a plan. */
export function createRecorder(plan: Pick<Plan, 'senders' | 'ack' | 'batch'>): Recorder {
  const events = createSeries();
  const reads = createSeries();
  const items = createEventCounts();
  const late = createTimes();
  // Of a thousand of them each has to be small.
  const senders = plan.senders.map(() => ({ counts: createCounts(), times: createTimes(2) }));
  const seriesOf = ({ kind }: Intent): Series => (kind === 'read' ? reads : events);
  const both = (intent: Intent): readonly Counts[] => [seriesOf(intent).counts, senders[intent.sender]!.counts];

  return {
    ...{ events, reads, items, late, senders },
    due(intent, now) {
      if (!intent.measured) return;
      late.record(now - intent.dueAt);
      for (const counts of both(intent)) counts.requests++;
      if (intent.kind === 'events') items.sent += plan.batch;
    },
    notSent(intent) {
      if (!intent.measured) return;
      for (const counts of both(intent)) {
        counts.requests++;
        counts.notSent++;
      }
    },
    answered(intent, { status, text, sentAt, now }) {
      if (!intent.measured) return;
      const taken = status >= 200 && status < 300;
      const series = seriesOf(intent);
      const body = intent.kind === 'events' || !taken ? jsonObject(text) : undefined;
      for (const counts of both(intent)) countAnswer(counts, status, taken, body);
      if (taken) {
        series.times.record(now - intent.dueAt);
        series.sentTimes.record(now - sentAt);
        senders[intent.sender]!.times.record(now - intent.dueAt);
      } else series.refusedTimes.record(now - intent.dueAt);
      if (intent.kind === 'events' && body !== undefined) countItems(items, body as Partial<Receipt>, plan.ack);
    },
    lost(intent, code) {
      if (!intent.measured) return;
      for (const counts of both(intent)) {
        counts.lost++;
        countIn(counts.lostByCode, code);
      }
    },
  };
}

function createSeries(): Series {
  return { counts: createCounts(), times: createTimes(), sentTimes: createTimes(), refusedTimes: createTimes() };
}

function countAnswer(counts: Counts, status: number, taken: boolean, body: object | undefined): void {
  counts.answered++;
  countIn(counts.statuses, status);
  if (taken) {
    counts.taken++;
    return;
  }
  counts.refused++;
  countIn(counts.refusedByCode, errorIn(body)?.code ?? `HTTP_${status}`);
}

function countItems(items: EventCounts, receipt: Partial<Receipt>, ack: Plan['ack']): void {
  const { accepted = 0, duplicates = 0, rejected = 0, errors = [] } = receipt;
  items.accepted += accepted;
  items.duplicates += duplicates;
  items.rejected += rejected;
  const dead = errors.length - rejected;
  if (dead > 0) items.dead += dead;
  if (receipt.ack !== undefined && receipt.ack !== ack) items.belowAck += accepted + duplicates - Math.max(0, dead);
  for (const { code } of errors) countIn(items.errors, code);
}
