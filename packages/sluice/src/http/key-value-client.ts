/** Key-value client: `read(key)` from anywhere in the process, one `GET /read?keys=…` a window, over `fetch`. */

import { failure, invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { DrainReport } from '../engine/engine.js';
import { systemEnv } from '../env/system.js';
import type { KeyFetcherStats } from '../loader/key-fetcher.js';
import { type KeyFetcherOptions, settingsOf } from '../loader/key-fetcher-options.js';
import { Waiter } from '../loader/key-item.js';
import type { CallOptions } from '../loader/leaving.js';
import { loadSettled } from '../loader/many.js';
import { readEngine } from '../loader/read-engine.js';
import type { HttpGetAsync } from '../loader/transport.js';
import { bodyText } from './body-text.js';
import { retryAfterMs } from './retry-after.js';

/** Options of {@link createKeyValueClient}: where the backend is, and those of the key fetcher beneath. */
export interface KeyValueClientOptions
  extends Omit<KeyFetcherOptions, 'httpGetAsync' | 'parseKvs' | 'path' | 'missing' | 'onCallbackError' | 'rethrow'> {
  /** The backend: `http://host:port` for its `/read`, or the whole address of another path. A query is kept. */
  readonly url: string | URL;
  /** Headers of each call, such as `authorization`. Default none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Sends the calls. Default: the platform's `fetch`, looked up at each call. */
  readonly fetch?: typeof fetch;
  /**
   * Longest reply in bytes, as inflated, 1 or more; `Infinity` for no bound. A longer one is not read to its end: its call fails with
   * `BAD_RESPONSE`. Default 16 MiB, some hundred times what the keys of one URL can bring back as numbers.
   */
  readonly maxResponseBytes?: number;
}

/** Options of one {@link KeyValueClient.readSettled}. */
export interface ReadOptions extends CallOptions {
  /**
   * Given, within the call, what makes it leave: what is not settled then is `CANCELLED`, and it does nothing once all is. Where
   * thousands of calls wait at once, an `AbortSignal` each is most of what they cost. Default none.
   */
  readonly whenGone?: (leave: () => void) => void;
}

/** Reads numbers by key from a `GET /read` backend. */
export interface KeyValueClient extends AsyncDisposable {
  /**
   * The value of a key.
   *
   * @throws SluiceError `KEY_NOT_FOUND`, `INVALID_VALUE`, `BAD_RESPONSE`, `HTTP_STATUS`, `UNREACHABLE`, `TIMEOUT`, `CANCELLED`,
   * `OVERLOADED`, `INVALID_KEY`, `KEY_TOO_LONG`, `CLOSED`, `SHUTDOWN_TIMEOUT`
   */
  read(key: string, options?: CallOptions): Promise<number>;
  /**
   * The values of many keys, in the order of the keys; a key that the backend does not know is absent. Resolves once all are settled.
   *
   * @throws SluiceError the first failure other than `KEY_NOT_FOUND`; as {@link KeyValueClient.read} otherwise.
   */
  readMany(keys: Iterable<string>, options?: CallOptions): Promise<Map<string, number>>;
  /**
   * What became of many keys, each by itself, in the order of the keys: its value, or the error that `read` would reject with; a key
   * that the backend does not know is absent. Never rejects: one key's wrong value does not hide the others.
   */
  readSettled(keys: Iterable<string>, options?: ReadOptions): Promise<Map<string, number | SluiceError>>;
  /** Accepts no more, sends what is held, and waits for it, `deadlineMs` at most (default 30,000). Idempotent. */
  close(options?: { readonly deadlineMs?: number }): Promise<DrainReport>;
  /** The balance at this instant. */
  stats(): KeyFetcherStats;
}

const optionNames = [
  ...['url', 'headers', 'fetch', 'windowMs', 'timeoutMs', 'deadlineMs', 'maxAttempts', 'retryBaseMs', 'retryMaxDelayMs'],
  ...['maxResponseBytes', 'maxUrlBytes', 'maxHeldWaiters', 'maxHeldKeys', 'maxHeldBytes', 'maxInFlight', 'name', 'env'],
];

/**
 * Makes a client of a `GET /read` backend. All that is read within a window of `windowMs` (default 100) goes out in one call, each
 * distinct key once; over-long URLs are split. A call that nobody waits for any more is aborted.
 *
 * @example
 * const prices = createKeyValueClient({ url: 'http://localhost:8080' });
 * const price = await prices.read('foo');
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function createKeyValueClient(options: KeyValueClientOptions): KeyValueClient {
  checkNames('createKeyValueClient', options, optionNames);
  const { url: address, headers = {}, fetch: ownFetch, maxResponseBytes, env = systemEnv(), ...rest } = options;
  const url = backendUrl(address);
  const maxBytes = numberOption('createKeyValueClient: maxResponseBytes', maxResponseBytes, 16 << 20, {
    least: 1,
    whole: true,
    infinite: true,
  });
  const settings = settingsOf({
    name: 'key-value-client',
    ...rest,
    env,
    path: `${url.pathname === '/' ? '/read' : url.pathname}${url.search}`,
    httpGetAsync: overFetch(url.origin, headers, ownFetch, maxBytes, () => env.clock.wall()),
  });
  const counts = { lateReplies: 0, unrequestedKeys: 0 };
  const engine = readEngine(settings, counts);

  const read = (key: string, callOptions?: CallOptions): Promise<number> =>
    new Promise((resolve, reject) => {
      engine.join(key, new Waiter<string, number>(resolve as (value: number | undefined) => void, reject, false), callOptions);
    });

  const readSettled = (
    keys: Iterable<string>,
    { whenGone, ...options }: ReadOptions = {},
  ): Promise<Map<string, number | SluiceError>> =>
    loadSettled(engine, distinct(keys), Object.keys(options).length === 0 ? undefined : options, whenGone);

  const readMany = async (keys: Iterable<string>, callOptions?: CallOptions): Promise<Map<string, number>> => {
    const found = new Map<string, number>();
    for (const [key, outcome] of await readSettled(keys, callOptions)) {
      if (typeof outcome !== 'number') throw outcome;
      found.set(key, outcome);
    }
    return found;
  };

  const close = ({ deadlineMs }: { readonly deadlineMs?: number } = {}) =>
    engine.close(numberOption('close.deadlineMs', deadlineMs, 30_000, { least: 0, infinite: true }));

  return {
    read,
    readMany,
    readSettled,
    close,
    stats: () => ({ ...engine.stats(), ...counts, callbackErrors: 0 }),
    async [Symbol.asyncDispose]() {
      await close();
    },
  };
}

function distinct(keys: Iterable<string>): readonly string[] {
  return Array.isArray(keys) && keys.length === 1 ? keys : [...new Set(keys)];
}

function backendUrl(address: string | URL): URL {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw invalidOption(
      `createKeyValueClient: url must be an absolute URL, such as http://localhost:8080; got ${String(address)}`,
    );
  }
  if ((url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '' || url.hash !== '') {
    throw invalidOption(
      `createKeyValueClient: url must be http or https, without user name and fragment; got ${url.protocol}//${url.host}`,
    );
  }
  return url;
}

function overFetch(
  origin: string,
  headers: Readonly<Record<string, string>>,
  ownFetch: typeof fetch | undefined,
  maxBytes: number,
  wallMs: () => number,
): HttpGetAsync {
  return async (path, callback, { signal }) => {
    let response: Response;
    try {
      response = await (ownFetch ?? globalThis.fetch)(origin + path, {
        headers: { accept: 'application/json', ...headers },
        signal,
      });
      if (response.ok) {
        const text = await bodyText(response, maxBytes);
        return text === undefined ? callback(tooLong(origin, maxBytes)) : callback(null, text);
      }
    } catch (thrown) {
      // An aborted call has been given up: what it says of that is no answer.
      return signal.aborted ? undefined : callback(unreachable(origin, thrown));
    }
    // What is not read would keep the connection busy.
    void response.body?.cancel().catch(() => {});
    const problem = Object.assign(failure(response.statusText), { status: response.status });
    return callback(Object.assign(problem, { retryAfterMs: retryAfterMs(response.headers.get('retry-after'), wallMs()) }));
  };
}

function tooLong(origin: string, maxBytes: number): SluiceError {
  return failure(
    `bad response: expected at most maxResponseBytes (${maxBytes}) bytes from ${origin}, got more; the rest was not read.`,
    { code: 'BAD_RESPONSE' },
  );
}

/** `fetch` says only "fetch failed"; what happened is in its cause. */
function unreachable(origin: string, thrown: unknown): SluiceError {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
  const why = cause instanceof Error ? cause.message : String(cause);
  return failure(`no answer from ${origin}: ${why}`, { code: 'UNREACHABLE', class: 'transient', cause: thrown });
}
