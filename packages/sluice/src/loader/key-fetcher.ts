/** Key fetcher: many `getKeyAsync(key, callback)` within a window, one `GET /read?keys=…`. */

import { failure, type SluiceError } from '../core/errors.js';
import { numberOption } from '../core/options.js';
import type { DrainReport } from '../engine/engine.js';
import type { KeyEngine, LoaderStats } from './key-engine.js';
import { type KeyFetcherOptions, printCallbackError, settingsOf } from './key-fetcher-options.js';
import { type KeyItem, Waiter } from './key-item.js';
import type { CallOptions } from './leaving.js';
import { readEngine } from './read-engine.js';
import { cancelled } from './refusals.js';
import { isThenable } from './transport.js';

export type { KeyFetcherOptions } from './key-fetcher-options.js';

/** Told once what became of a request: an error, or `null` and the value. May be asynchronous. */
export type KeyCallback = (error: SluiceError | null, value?: number) => unknown;

/** The balance, and what was ignored. */
export interface KeyFetcherStats extends LoaderStats {
  /** Answers of the transport to calls that were over: cut off, or answered before. */
  readonly lateReplies: number;
  /** Keys in replies that nobody had asked for. */
  readonly unrequestedKeys: number;
  /** Callbacks that threw, or rejected. */
  readonly callbackErrors: number;
}

/** Fetches values by key, in batches. */
export interface KeyFetcher extends AsyncDisposable {
  /**
   * Asks for a key. The callback is called exactly once, never from within this call, in the asynchronous context of this call;
   * those of one batch in the order of their requests. What it throws affects nobody else.
   *
   * The error's code is `KEY_NOT_FOUND`, `INVALID_VALUE`, `BAD_RESPONSE`, `HTTP_STATUS`, `TIMEOUT`, `CANCELLED`, `OVERLOADED`,
   * `INVALID_KEY`, `KEY_TOO_LONG`, `CLOSED`, `SHUTDOWN_TIMEOUT`, or the transport's own.
   *
   * @returns how to leave: the callback then gets `CANCELLED`. It returns false when the callback was called already, or is cancelled.
   * @throws TypeError when `callback` is not a function.
   */
  getKeyAsync(key: string, callback: KeyCallback, options?: CallOptions): () => boolean;
  /** Dispatches the open window now; resolves once every request made before it is settled. Never rejects. */
  flush(): Promise<void>;
  /**
   * Accepts no more, dispatches the open window, and waits for what is in flight. Idempotent: the first call's promise.
   *
   * @param options `deadlineMs`: how long to wait, in milliseconds, default 30,000; what is unsettled then gets `SHUTDOWN_TIMEOUT`.
   */
  close(options?: { readonly deadlineMs?: number }): Promise<DrainReport>;
  /** The balance at this instant, in requests, and under `keys` in keys. */
  stats(): KeyFetcherStats;
}

/**
 * Makes a key fetcher: what is asked for within a window of 100 ms goes out in one call, each distinct key once.
 *
 * A request gets a value that was read after it was made: a key that is in flight is asked for again in the next window. Nothing is
 * cached.
 *
 * @example
 * const fetcher = createKeyFetcher({ httpGetAsync });
 * const cancel = fetcher.getKeyAsync('foo', (error, value) => console.log(error ?? value));
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function createKeyFetcher(options: KeyFetcherOptions): KeyFetcher {
  const settings = settingsOf(options);
  const { name, missing } = settings;
  const counts = { lateReplies: 0, unrequestedKeys: 0, callbackErrors: 0 };
  const engine = readEngine(settings, counts);

  const callbackFailed = (error: unknown, key: string) => {
    counts.callbackErrors++;
    engine.observe({ type: 'callbackError', name, error });
    try {
      settings.onCallbackError(error, key);
    } catch (thrown) {
      printCallbackError(thrown, key);
    }
    if (settings.rethrow) throw error;
  };

  const call = async (request: Request, error: SluiceError | null, value?: number): Promise<void> => {
    request.called = true;
    const { callback, key, signal } = request;
    // Cancelled by an earlier callback of its batch, when it was settled but not told yet.
    const leftFor = request.leftFor ?? (error === null && signal?.aborted ? cancelled(signal) : undefined);
    try {
      // Without an await when the callback is synchronous: the next one need not wait a turn.
      const returned = leftFor !== undefined ? callback(leftFor) : error !== null ? callback(error) : callback(null, value);
      if (isThenable(returned)) await returned;
    } catch (thrown) {
      callbackFailed(thrown, key);
    }
  };

  const absentValue = missing === 'undefined' || missing === 'error' ? undefined : missing;

  const getKeyAsync = (key: string, callback: KeyCallback, callOptions?: CallOptions): (() => boolean) => {
    if (typeof callback !== 'function') throw new TypeError(`getKeyAsync needs a callback function; got ${typeof callback}`);
    const request: Request = { key, callback, signal: callOptions?.signal, called: false, leftFor: undefined };
    let waiter!: Waiter<string, number>;
    const answer = new Promise<number | undefined>((resolve, reject) => {
      waiter = new Waiter<string, number>(resolve, reject, missing !== 'error');
    });
    // As reactions of a promise the callbacks run in their caller's own asynchronous context, one by one, in the order in which
    // the engine settles them.
    answer.then(
      (value) => call(request, null, value === undefined ? absentValue : value),
      (error: SluiceError) => call(request, error),
    );
    const item = engine.join(key, waiter, callOptions);
    return () => leave(engine, item, waiter, request);
  };

  const close = ({ deadlineMs }: { readonly deadlineMs?: number } = {}) =>
    engine.close(numberOption('close.deadlineMs', deadlineMs, 30_000, { least: 0, infinite: true }));

  return {
    getKeyAsync,
    flush: () => engine.flush(),
    close,
    stats: () => ({ ...engine.stats(), ...counts }),
    async [Symbol.asyncDispose]() {
      await close();
    },
  };
}

/** One request, from the call to its callback. */
interface Request {
  readonly key: string;
  readonly callback: KeyCallback;
  readonly signal: AbortSignal | undefined;
  called: boolean;
  /** Why it left, once it has. */
  leftFor: SluiceError | undefined;
}

/** A request may also leave between its settlement and its callback: an earlier callback of the batch may see to that. */
function leave(
  engine: KeyEngine<string, number>,
  item: KeyItem<string, number> | undefined,
  waiter: Waiter<string, number>,
  request: Request,
): boolean {
  if (request.called || request.leftFor !== undefined) return false;
  request.leftFor = failure('the request was cancelled.', { code: 'CANCELLED', class: 'rejected', key: request.key });
  if (item !== undefined) engine.part(item, waiter, request.leftFor);
  return true;
}
