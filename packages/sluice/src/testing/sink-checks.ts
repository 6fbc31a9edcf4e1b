/** The checks of {@link exerciseSink}, by name; each throws where the sink breaks its contract. */

import { createBatcher } from '../batcher/batcher.js';
import type { SinkContext } from '../core/dispatcher.js';
import { failure, SluiceError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';
import { sinkDispatcher } from '../core/stack.js';
import { systemEnv } from '../env/system.js';
import { bisect } from '../layers/bisect.js';
import type { ExerciseSinkOptions, SinkUnderTest } from './exercise-sink.js';
import { batchOf, contextOf } from './made-batch.js';

type Under = SinkUnderTest<unknown, unknown>;
type Check = (under: Under, options: Required<ExerciseSinkOptions>) => Promise<void>;

/** Each check by its sentence. */
export const sinkChecks: Readonly<Record<string, Check>> = {
  'takes a batch of one': async (under) => {
    await takes(under, [0]);
    await has(under, [0]);
  },

  'takes a full batch, each item once, with one answer per item or none': async (under, { maxItems }) => {
    const all = numbers(0, maxItems);
    await takes(under, all);
    await has(under, all);
  },

  'leaves alone the items that it was given': async (under, { maxItems }) => {
    const items = numbers(0, Math.min(maxItems, 10)).map((n) => under.item(n));
    const before = items.map((item) => snapshot(item));
    await outcomesOf(under, items);
    items.forEach((item, i) => {
      if (snapshot(item) !== before[i]) throw broken(`item ${i} was ${before[i]}, and is ${snapshot(item)} after the call`);
    });
  },

  'fails an item that is refused, with a class that ends its retries, and takes those after it': async (under) => {
    if (under.badItem === undefined) return;
    const [outcome] = await outcomesOf(under, [under.badItem(0)]);
    if (outcome?.kind !== 'failed') throw broken('an item that the other side refuses was said to be written');
    if (outcome.failure.class !== 'permanent')
      throw broken(`a refused item must fail as permanent, or it is sent again and again; it failed as ${said(outcome.failure)}`);
    await takes(under, [1]);
    await has(under, [1]);
  },

  'loses none of the good items around a bad one, and writes none of them twice': async (under) => {
    if (under.badItem === undefined) return;
    const items = numbers(0, 7).map((n) => (n === 3 ? under.badItem!(n) : under.item(n)));
    const env = systemEnv();
    const outcomes = await bisect<unknown, unknown>()(sinkDispatcher(under.sink, env), env).dispatch(
      batchOf(...items),
      contextOf({ idempotent: under.sink.idempotent === true }),
    );
    const good = numbers(0, 7).filter((n) => n !== 3);
    if (outcomes[3]?.kind !== 'failed') throw broken('the bad item in the middle was said to be written');
    for (const n of good) mustBeOk(outcomes[n], n);
    await has(under, good);
  },

  'writes nothing of a batch that fails, where it says that it is atomic': async (under) => {
    if (under.sink.atomic !== true || under.badItem === undefined) return;
    const outcomes = await outcomesOf(under, [under.item(0), under.item(1), under.badItem(2), under.item(3)]);
    // One that names the bad item and writes the rest has taken it out before: that is no failure of the batch.
    await has(
      under,
      [0, 1, 3].filter((n) => outcomes[n]?.kind === 'ok'),
    );
  },

  'does no harm when the same batch comes twice, where it says that it is idempotent': async (under) => {
    if (under.sink.idempotent !== true) return;
    await takes(under, [0, 1, 2, 3]);
    await takes(under, [0, 1, 2, 3], { attempt: 2, idempotent: true });
    await takes(under, [2, 3], { attempt: 3, idempotent: true, batchId: 'b.1' });
    await has(under, [0, 1, 2, 3]);
  },

  'fails what an outage kept from being written, in a class that is tried again, and works after it': async (under) => {
    if (under.outage === undefined) return;
    const over = await under.outage();
    let outcomes: readonly Outcome<unknown>[];
    try {
      outcomes = await outcomesOf(under, [under.item(0), under.item(1)]);
    } finally {
      await over();
    }
    for (const outcome of outcomes) {
      if (outcome.kind !== 'failed') throw broken('an item was said to be written while the other side was down');
      if (outcome.failure.class === 'permanent' || outcome.failure.class === 'rejected')
        throw broken(
          `an outage must fail as transient, unknown or blocked, or the items are lost; it failed as ${said(outcome.failure)}`,
        );
    }
    await takes(under, [2]);
  },

  'ends a call that was aborted before it began, and says ok of nothing that it did not write': async (under, { patienceMs }) => {
    await abortedOutcomes(under, patienceMs, (controller) => controller.abort(new Error('nobody waits')));
  },

  'ends a call that is aborted in the middle, and says ok of nothing that it did not write': async (under, { patienceMs }) => {
    let left = () => {};
    await under.stall?.();
    await abortedOutcomes(under, patienceMs, (controller) => {
      left = systemEnv().clock.after(20, () => controller.abort(new Error('nobody waits')));
    });
    left();
  },

  'writes calls that run at once, each its own items': async (under, { maxInFlight, maxItems }) => {
    const size = Math.max(1, Math.min(20, maxItems));
    await Promise.all(numbers(0, maxInFlight).map((call) => takes(under, numbers(call * size, size), { batchId: `b${call}` })));
    await has(under, numbers(0, maxInFlight * size));
  },

  'is never called with nothing by a batcher, and settles each of its items once': async (under, { maxInFlight }) => {
    const sizes: number[] = [];
    const { sink } = under;
    const batcher = createBatcher<unknown, unknown>({
      sink: {
        idempotent: sink.idempotent === true,
        atomic: sink.atomic === true,
        write(items, context) {
          sizes.push(items.length);
          return sink.write(items, context);
        },
      },
      window: 'whileBusy',
      maxItems: 7,
      maxInFlight,
    });
    await batcher.flush();
    const gone = AbortSignal.abort();
    const pushed = [
      ...numbers(0, 100).map((n) => batcher.push(under.item(n))),
      ...numbers(100, 5).map((n) => batcher.push(under.item(n), { signal: gone })),
    ];
    const ends = await Promise.allSettled(pushed);
    const report = await batcher.close();
    if (sizes.includes(0)) throw broken('it was called with nothing');
    ends.slice(0, 100).forEach((end, n) => {
      if (end.status === 'rejected') throw broken(`item ${n} failed: ${said(end.reason)}`);
    });
    if (report.dropped > 0) throw broken(`${report.dropped} items were dropped at the end`);
    await has(under, numbers(0, 100));
  },

  'closes in time, twice as once, and takes nothing afterwards': async (under, { patienceMs }) => {
    const { sink } = under;
    if (sink.close === undefined) return;
    await takes(under, [0]);
    await inTime(sink.close(), patienceMs, 'the close');
    await inTime(sink.close(), patienceMs, 'the second close');
    const [outcome] = await inTime(outcomesOf(under, [under.item(1)]), patienceMs, 'a call after the close');
    if (outcome?.kind === 'ok') await has(under, [0, 1]);
  },
};

function numbers(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

/** Writes these items and wants each of them taken. */
async function takes(under: Under, wanted: readonly number[], context: Partial<SinkContext> = {}): Promise<void> {
  const outcomes = await outcomesOf(
    under,
    wanted.map((n) => under.item(n)),
    context,
  );
  outcomes.forEach((outcome, i) => {
    mustBeOk(outcome, wanted[i]!);
  });
}

/** What the sink says of each item, as a batcher reads it. */
async function outcomesOf(
  { sink }: Under,
  items: readonly unknown[],
  { batchId = 'b', ...context }: Partial<SinkContext> = {},
): Promise<readonly Outcome<unknown>[]> {
  const batch = Object.defineProperty(batchOf(...items), 'id', { value: batchId });
  return sinkDispatcher(sink, systemEnv()).dispatch(batch, contextOf(context));
}

function mustBeOk(outcome: Outcome<unknown> | undefined, n: number): void {
  if (outcome?.kind !== 'ok') throw broken(`item ${n} failed: ${outcome === undefined ? 'no answer' : said(outcome.failure)}`);
}

/** The other side has these items, each once. */
async function has(under: Under, wanted: readonly number[]): Promise<void> {
  if (under.written === undefined) return;
  const found = [...(await under.written())].sort((a, b) => a - b);
  const expected = [...wanted].sort((a, b) => a - b);
  if (found.join() !== expected.join())
    throw broken(`the other side should have the items ${expected.join()}; it has ${found.join()}`);
}

/** A call whose signal is aborted must end, and what it says it wrote must be there. */
async function abortedOutcomes(under: Under, patienceMs: number, abort: (controller: AbortController) => void): Promise<void> {
  const controller = new AbortController();
  abort(controller);
  const items = [under.item(0), under.item(1)];
  const outcomes = await inTime(outcomesOf(under, items, { signal: controller.signal }), patienceMs, 'a call that was aborted');
  const said = outcomes.flatMap((outcome, n) => (outcome.kind === 'ok' ? [n] : []));
  if (under.written === undefined) return;
  const found = await under.written();
  const lost = said.filter((n) => !found.includes(n));
  if (lost.length > 0) throw broken(`the items ${lost.join()} were said to be written, and are not there`);
}

async function inTime<V>(work: Promise<V>, ms: number, what: string): Promise<V> {
  let cancel = () => {};
  const late = new Promise<never>((_, reject) => {
    cancel = systemEnv().clock.after(ms, () => reject(broken(`${what} did not end within ${ms} ms`)));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    cancel();
  }
}

function snapshot(item: unknown): string {
  return JSON.stringify(item, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)) ?? String(item);
}

function said(error: unknown): string {
  return error instanceof SluiceError ? `${error.class}, ${error.code}: ${error.message}` : String(error);
}

function broken(what: string): SluiceError {
  return failure(`${what}.`);
}
