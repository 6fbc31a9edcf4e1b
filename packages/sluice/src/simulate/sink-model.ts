/** Sink model: a sink made of a few figures: what it costs, how it fails, when it is down. */

import type { Sink, SinkAnswer, SinkContext } from '../core/dispatcher.js';
import { type FailureClass, failure, invalidOption, type SluiceError, shorten } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';
import { seededRandom, streamSeed } from '../env/seeded-random.js';
import type { SimulatedItem } from './item.js';
import { tokenBucket } from './token-bucket.js';

/** How a sink behaves. Every member may be left out; the sink of `{}` answers at once and never fails. */
export interface SinkModel {
  /** What a call costs, in milliseconds, whatever is in it. Default 0. */
  readonly fixedMs?: number;
  /** What each item adds, in milliseconds. Default 0. */
  readonly perItemMs?: number;
  /**
   * How the time of a call is spread around that: `'none'` (default), `'exponential'`, or a share from 0 to 1, uniform between
   * 1 − share and 1 + share times the cost.
   */
  readonly spread?: 'none' | 'exponential' | number;
  /** Beyond `calls` that run at once, each further one makes a call `slowdown` times its cost slower: a latency curve with a knee. */
  readonly knee?: { readonly calls: number; readonly slowdown: number };
  /** Share of the calls, 0 to 1, that fail as a whole, by class. */
  readonly errors?: { readonly [C in FailureClass]?: number };
  /** Share of the items, 0 to 1, that the sink refuses for good, always the same ones. */
  readonly badItems?: number;
  /** One bad item fails the whole call, as a transaction does. Default false: the sink says which ones are bad. */
  readonly atomic?: boolean;
  /** Writing the same items again does no harm. Default false. */
  readonly idempotent?: boolean;
  /** What is beyond fails at once as transient, and says when to come again (`Retry-After`). `burst`: default a second's worth. */
  readonly rateLimit?: { readonly perSecond: number; readonly of?: 'calls' | 'items'; readonly burst?: number };
  /**
   * When it is down. `'fail'` (default): calls fail at once, transient. `'hang'`: calls that begin then take until the end of the
   * outage, and their own time. `'lost'`: they are never answered.
   */
  readonly outages?: readonly { readonly fromMs: number; readonly toMs: number; readonly how?: 'fail' | 'hang' | 'lost' }[];
  /** Whether a call that is aborted ends at once. Default true. */
  readonly heedsAbort?: boolean;
}

const names = 'fixedMs perItemMs spread knee errors badItems atomic idempotent rateLimit outages heedsAbort'.split(' ');

/**
 * Makes a sink of its model, for a simulation or for a test of one's own.
 *
 * @param seed fixes what is drawn: errors, bad items, spread.
 * @throws SluiceError `INVALID_OPTION`
 */
export function sinkOf(model: SinkModel, env: Pick<Env, 'clock'>, seed = 1): Sink<SimulatedItem> {
  const { fixedMs = 0, perItemMs = 0, knee, outages = [], heedsAbort = true } = checked(model);
  const { clock } = env;
  const random = seededRandom(streamSeed(seed, 0));
  const isBad = badItemsOf(model.badItems ?? 0, seed);
  const spread = spreadOf(model.spread ?? 'none');
  const failsWith = errorsOf(model.errors ?? {});
  const bucket =
    model.rateLimit === undefined
      ? undefined
      : tokenBucket(model.rateLimit.perSecond, model.rateLimit.burst ?? model.rateLimit.perSecond, () => clock.now());
  let running = 0;

  const durationMs = (items: number) => {
    const beyond = knee === undefined ? 0 : Math.max(0, running - knee.calls) * knee.slowdown;
    return (fixedMs + perItemMs * items) * spread(random.next()) * (1 + beyond);
  };

  const write = async (items: readonly SimulatedItem[], { signal }: SinkContext): Promise<SinkAnswer<void>> => {
    const now = clock.now();
    // Drawn for every call, so that a limit or an outage does not change what becomes of the calls after it.
    const problem = failsWith(random.next());
    const outage = outages.find(({ fromMs, toMs }) => now >= fromMs && now < toMs);
    if (outage !== undefined && (outage.how ?? 'fail') === 'fail')
      throw failure('the sink is down.', { code: 'DOWN', class: 'transient' });
    const wait = bucket?.take(model.rateLimit!.of === 'items' ? items.length : 1) ?? 0;
    if (wait > 0) throw failure('too fast.', { code: 'RATE_LIMITED', class: 'transient', retryAfterMs: wait });
    running++;
    try {
      const hangMs = outage === undefined ? 0 : outage.how === 'lost' ? Number.POSITIVE_INFINITY : outage.toMs - now;
      await pass(hangMs + durationMs(items.length), clock, heedsAbort ? signal : undefined);
    } finally {
      running--;
    }
    if (problem !== undefined) throw problem;
    if (model.atomic === true) {
      if (items.some(isBad)) throw refused();
    } else if (isBad !== never && items.some(isBad)) {
      return items.map((item) => (isBad(item) ? refused() : undefined));
    }
  };
  return { idempotent: model.idempotent ?? false, atomic: model.atomic ?? false, write };
}

function checked(model: SinkModel): SinkModel {
  checkNames('a sink model', model, names);
  const at = (name: string) => `sink.${name}`;
  numberOption(at('fixedMs'), model.fixedMs, 0, { least: 0 });
  numberOption(at('perItemMs'), model.perItemMs, 0, { least: 0 });
  if (model.knee !== undefined) {
    numberOption(at('knee.calls'), model.knee.calls, 0, { least: 0 });
    numberOption(at('knee.slowdown'), model.knee.slowdown, 0, { least: 0 });
  }
  if (model.rateLimit !== undefined) {
    numberOption(at('rateLimit.perSecond'), model.rateLimit.perSecond, 0, { least: 1e-6 });
    numberOption(at('rateLimit.burst'), model.rateLimit.burst, 1, { least: 1 });
  }
  const shares = [model.badItems ?? 0, ...Object.values(model.errors ?? {})];
  if (typeof model.spread === 'number') shares.push(model.spread);
  for (const share of shares) {
    if (!(share >= 0 && share <= 1)) throw invalidOption(`a share in a sink model is 0 to 1; got ${shorten(share)}`);
  }
  for (const { fromMs, toMs } of model.outages ?? []) {
    if (!(fromMs >= 0 && toMs >= fromMs))
      throw invalidOption(`sink.outages: fromMs is 0 or more and toMs not before it; got ${fromMs} to ${toMs}`);
  }
  return model;
}

const never = () => false;

/** By a hash of the item, not by a draw: an item that is bad stays bad when it is sent again. */
function badItemsOf(share: number, seed: number): (item: SimulatedItem) => boolean {
  if (share === 0) return never;
  const salt = streamSeed(seed, 1);
  return ({ n }) => streamSeed(salt, n) < share * 2 ** 32;
}

function spreadOf(spread: 'none' | 'exponential' | number): (u: number) => number {
  if (spread === 'none') return () => 1;
  if (spread === 'exponential') return (u) => -Math.log(1 - u);
  return (u) => 1 - spread + 2 * spread * u;
}

function errorsOf(errors: NonNullable<SinkModel['errors']>): (u: number) => SluiceError | undefined {
  const entries = (['transient', 'permanent', 'rejected', 'unknown', 'blocked'] as const).map((name) => ({
    name,
    share: errors[name] ?? 0,
  }));
  return (u) => {
    let left = u;
    for (const { name, share } of entries) {
      if (left < share) return failure(`the sink failed: ${name}.`, { code: 'SIMULATED', class: name });
      left -= share;
    }
    return undefined;
  };
}

function refused(): SluiceError {
  return failure('the sink refuses this item.', { code: 'BAD_ITEM', class: 'permanent' });
}

/** Time passes; with a signal, until it is aborted. */
function pass(ms: number, clock: Env['clock'], signal: AbortSignal | undefined): Promise<void> | undefined {
  if (ms === 0) return undefined;
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      cancel();
      reject(failure('the call was aborted.', { code: 'CANCELLED', class: 'unknown', cause: signal?.reason }));
    };
    const done = () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    };
    const cancel = ms === Number.POSITIVE_INFINITY ? () => {} : clock.after(ms, done);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
