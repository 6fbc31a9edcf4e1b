/** The two places where a watch looks: above all layers, and around the sink. */

import type { Batch } from '../core/batch.js';
import type { Dispatcher, Sink } from '../core/dispatcher.js';
import type { Outcome } from '../core/outcome.js';
import { around } from './around.js';
import { countListeners } from './listeners.js';
import { type LaneSeen, laneSeen, type Seen } from './seen.js';
import { atMost } from './step-rules.js';
import { latestDueAt } from './window-bound.js';

/** A dispatcher that is watched: what is cut, when, and what comes back. */
export function watchedDispatcher<T, R>(seen: Seen<T>, inner: Dispatcher<T, R>): Dispatcher<T, R> {
  const { clock } = seen.options;
  const advice = watchedAdvice(seen, inner);
  seen.isReady = (lane) => {
    const ready = inner.ready(lane);
    return ready === true;
  };
  return {
    ready: advice,
    async dispatch(batch, context) {
      const own = laneSeen(seen, batch.lane);
      checkCut(seen, batch, own);
      own.unsettled++;
      const listenersLeft = countListeners(context.signal);
      const outcomes = await inner.dispatch(batch, context);
      own.unsettled--;
      own.settledAt = clock.now();
      if (seen.options.halts === true && failedForGood(batch, outcomes)) own.halted = true;
      seen.listeners += listenersLeft();
      if (outcomes.length !== batch.items.length)
        seen.report('settledOnce', `${outcomes.length} outcomes for ${batch.items.length} items`);
      return outcomes;
    },
  };
}

/** A sink that is watched: what it is given, in which order, how many calls run, and what it takes. */
export function watchedSink<T, R>(seen: Seen<T>, inner: Sink<T, R>): Sink<T, R> {
  const { options, report, marks } = seen;
  const { clock, sequenceOf, maxBytes, sameAs } = options;
  return around(inner, async (items, context) => {
    // One item that is larger alone leaves alone.
    const bytes = context.entries.reduce((sum, entry) => sum + entry.bytes, 0);
    if (items.length > 1) atMost('maxBytes', maxBytes, bytes, report);
    begin(seen, items, context.attempt);
    try {
      const results = await inner.write(items, context);
      items.forEach((item, i) => {
        const result = results === undefined ? undefined : results[i];
        if (result instanceof Error) return;
        marks.set(sequenceOf(item), 'taken');
        seen.order.taken(item);
        if (result !== undefined) seen.values.set(sequenceOf(item), result);
        if (sameAs !== undefined) takenToo(seen.taken, sameAs(item), result);
      });
      return results;
    } finally {
      seen.callEndedAt = clock.now();
      seen.calls--;
    }
  });
}

function watchedAdvice<T, R>(seen: Seen<T>, inner: Dispatcher<T, R>): Dispatcher<T, R>['ready'] {
  const { clock, plain = false } = seen.options;
  let told = true;
  const free = () => {
    if (told) return;
    told = true;
    seen.freeAt = clock.now();
    // In the plain case a slot is free because a call has ended, and only then: that holds the limit to its word as well.
    if (plain && !seen.abandonedEver && seen.freeAt > seen.callEndedAt)
      seen.report('delay', `a slot was free at ${seen.callEndedAt} ms, and nobody was told before ${seen.freeAt} ms`);
  };
  return (lane) => {
    const ready = inner.ready(lane);
    // Whoever asks in the very turn in which a slot is freed is not told by a promise.
    if (ready === true) {
      free();
      return true;
    }
    told = false;
    // Beside, and handed on as it is: who shares a promise knows that it waits for the same thing.
    ready.then(free, free);
    return ready;
  };
}

function checkCut<T>(seen: Seen<T>, { lane, items }: Batch<T>, own: LaneSeen): void {
  const { options, report, marks, fairness, conservation } = seen;
  const { clock, sequenceOf, window, maxItems, maxInFlightPerLane = Number.POSITIVE_INFINITY } = options;
  if (items.length === 0) {
    report('bounds', 'an empty batch was cut');
    return;
  }
  for (const { value } of items) {
    if (!marks.set(sequenceOf(value), 'cut')) report('settledOnce', `item ${sequenceOf(value)} was cut twice`);
  }
  atMost('maxItems', maxItems, items.length, report);
  atMost('maxInFlightPerLane', maxInFlightPerLane, own.unsettled + 1, report);
  if (own.halted) report('order', `a batch of lane ${JSON.stringify(lane)} left after it halted, and nobody had resumed it`);
  const now = clock.now();
  // Of many lanes each asks in its turn, and nobody can tell for which of them the dispatcher was free: conservation judges them.
  const latest =
    options.maxInFlightPerLane === undefined
      ? Math.max(latestDueAt(window, items[0]!.acceptedAt, own.cutAt), seen.freeAt, own.settledAt)
      : Number.POSITIVE_INFINITY;
  // A billionth of a second: what adding up times leaves behind.
  if (now > latest + 1e-6 && !seen.refuses)
    report('delay', `a batch left at ${now} ms, at the latest it was due at ${latest} ms`);
  conservation.sent(lane, now);
  own.cutAt = now;
  fairness.sent(lane, items.length, now, (other) => {
    const { unsettled, halted } = laneSeen(seen, other);
    return unsettled < maxInFlightPerLane && !halted && seen.isReady(other);
  });
}

/** Whether an item failed that somebody still waits for: what its last waiter left has ended already. */
function failedForGood(batch: Batch<unknown>, outcomes: readonly Outcome<unknown>[]): boolean {
  return outcomes.some((outcome, i) => outcome?.kind === 'failed' && batch.items[i]?.gone === false);
}

function begin<T>(seen: Seen<T>, items: readonly T[], attempt: number): void {
  const { options, report, marks, order } = seen;
  const { sequenceOf, maxInFlight, maxInFlightPerLane, plain = false } = options;
  if (items.length === 0) report('bounds', 'the sink was called with nothing');
  seen.calls++;
  // Abandoned calls go on beside those that run: their bound is another one.
  if (!seen.abandonedEver) atMost('maxInFlight', maxInFlight, seen.calls, report);
  // The attempts before this one may have waited in vain for their turn, and others have passed them: unless nothing else of the lane may go.
  const mayBeLate = attempt > 1 && maxInFlightPerLane !== 1;
  order.sent(items, (item) => !mayBeLate && !marks.has(sequenceOf(item), 'sent'));
  for (const item of items) {
    const n = sequenceOf(item);
    if (!marks.set(n, 'sent') && plain) report('settledOnce', `item ${n} was sent twice, and nothing retries`);
  }
}

function takenToo(taken: Map<unknown, Set<unknown>>, key: unknown, value: unknown): void {
  const values = taken.get(key) ?? new Set();
  values.add(value);
  taken.set(key, values);
}
