/** The options of the key fetcher: what they are, their defaults and ranges. */

import { invalidOption } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import { pathBeforeKeys } from './read-path.js';
import type { ParseKvs } from './read-reply.js';
import type { HttpGetAsync } from './transport.js';

/** Options of `createKeyFetcher`. */
export interface KeyFetcherOptions {
  /** Sends one call. It is given a path, never an absolute URL. */
  readonly httpGetAsync: HttpGetAsync;
  /** Turns the text of a reply into keys and values. Default: JSON, own members of the object only. */
  readonly parseKvs?: ParseKvs;
  /** How long a window stays open after its first request, in milliseconds, 0 or more. Default 100. Later requests never extend it. */
  readonly windowMs?: number;
  /** Path of the backend, beginning with `/`; a query is kept. Default `'/read'`. */
  readonly path?: string;
  /** Longest time that one attempt may take, in milliseconds, 1 or more; `Infinity` for no bound. Default 5,000, or `deadlineMs` if that is less. */
  readonly timeoutMs?: number;
  /** Longest time that all attempts of a call may take together, pauses included, from its dispatch, in milliseconds. Default: no bound. */
  readonly deadlineMs?: number;
  /** Attempts in all, the first included: 1 or more. Default 1: no call that was not asked for. */
  readonly maxAttempts?: number;
  /** Pause before the first retry is uniform in [retryBaseMs, 2·retryBaseMs), then doubles, in milliseconds. Default 100. */
  readonly retryBaseMs?: number;
  /** Cap of the doubling, in milliseconds. Default 30,000. */
  readonly retryMaxDelayMs?: number;
  /**
   * Bytes of the path with its keys at most. A window with more keys becomes several calls, dispatched together. Default 8,000: what
   * nginx (8 KB) and Apache (8,190) accept. A single key that does not fit is refused with `KEY_TOO_LONG`.
   */
  readonly maxUrlBytes?: number;
  /** Requests that wait at most, held or in flight; one more gets `OVERLOADED`. Default 100,000. */
  readonly maxHeldWaiters?: number;
  /** Distinct keys held at most, in all batches. Default: `maxHeldWaiters`. */
  readonly maxHeldKeys?: number;
  /** Bytes of the keys held at most, as they are written into URLs. Default 64 MiB. */
  readonly maxHeldBytes?: number;
  /** Calls that run at once, 1 or more. While all run, the open window grows. Default `Infinity`. */
  readonly maxInFlight?: number;
  /** What a key that the backend does not know gives: `'error'` (default) `KEY_NOT_FOUND`, `'undefined'` no value, or a number. */
  readonly missing?: 'error' | 'undefined' | number;
  /** Told of what a callback threw, or rejected with. Default: prints it on standard error. */
  readonly onCallbackError?: (error: unknown, key: string) => void;
  /** Also rethrow it as an unhandled rejection, which ends the process unless it is handled. Default false. */
  readonly rethrow?: boolean;
  /** Names it in events and messages. Default `'key-fetcher'`. */
  readonly name?: string;
  /** Time, randomness, observation. Default: the system's. */
  readonly env?: Env;
}

/** The options with their defaults filled in. */
export type KeyFetcherSettings = Required<Omit<KeyFetcherOptions, 'parseKvs' | 'deadlineMs'>> & {
  readonly parseKvs: ParseKvs | undefined;
  readonly deadlineMs: number;
};

const optionNames = [
  ...['httpGetAsync', 'parseKvs', 'windowMs', 'path', 'timeoutMs', 'deadlineMs', 'maxAttempts', 'retryBaseMs'],
  ...['retryMaxDelayMs', 'maxUrlBytes', 'maxHeldWaiters', 'maxHeldKeys', 'maxHeldBytes', 'maxInFlight', 'missing'],
  ...['onCallbackError', 'rethrow', 'name', 'env'],
];

/**
 * Checks the options.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function settingsOf(options: KeyFetcherOptions): KeyFetcherSettings {
  checkNames('createKeyFetcher', options, optionNames);
  const { httpGetAsync, parseKvs, path = '/read', missing = 'error', onCallbackError = printCallbackError } = options;
  if (typeof httpGetAsync !== 'function') throw invalidOption('createKeyFetcher needs httpGetAsync(path, callback).');
  if (parseKvs !== undefined && typeof parseKvs !== 'function')
    throw invalidOption('createKeyFetcher: parseKvs must be a function.');
  if (!/^\/[\x21-\x7e]*$/.test(path) || path.includes('#')) {
    throw invalidOption(`createKeyFetcher: path must begin with / and hold printable ASCII without #; got ${path}`);
  }
  if (missing !== 'error' && missing !== 'undefined' && typeof missing !== 'number') {
    throw invalidOption(`createKeyFetcher: missing must be 'error', 'undefined' or a number; got ${String(missing)}`);
  }
  const number = (key: keyof KeyFetcherOptions, fallback: number, least: number, whole: boolean, infinite: boolean) =>
    numberOption(`createKeyFetcher: ${key}`, options[key] as number | undefined, fallback, { least, whole, infinite });
  const deadlineMs = number('deadlineMs', Number.POSITIVE_INFINITY, 1, false, true);
  const timeoutMs = number('timeoutMs', Math.min(5000, deadlineMs), 1, false, true);
  if (timeoutMs > deadlineMs && timeoutMs !== Number.POSITIVE_INFINITY) {
    throw invalidOption(`createKeyFetcher: timeoutMs (${timeoutMs}) must not be more than deadlineMs (${deadlineMs}).`);
  }
  const maxHeldWaiters = number('maxHeldWaiters', 100_000, 1, true, true);
  const prefixBytes = pathBeforeKeys(path).length;
  return {
    httpGetAsync,
    parseKvs,
    path,
    missing,
    onCallbackError,
    timeoutMs,
    deadlineMs,
    maxHeldWaiters,
    windowMs: number('windowMs', 100, 0, false, false),
    maxAttempts: number('maxAttempts', 1, 1, true, true),
    retryBaseMs: number('retryBaseMs', 100, 0, false, false),
    retryMaxDelayMs: number('retryMaxDelayMs', 30_000, 0, false, false),
    maxUrlBytes: number('maxUrlBytes', Math.max(8000, prefixBytes + 1), prefixBytes + 1, true, true),
    maxHeldKeys: number('maxHeldKeys', maxHeldWaiters, 1, true, true),
    maxHeldBytes: number('maxHeldBytes', 64 << 20, 1, true, true),
    maxInFlight: number('maxInFlight', Number.POSITIVE_INFINITY, 1, true, true),
    rethrow: options.rethrow ?? false,
    name: options.name ?? 'key-fetcher',
    env: options.env ?? systemEnv(),
  };
}

/** Says on standard error which callback failed, and how. */
export function printCallbackError(error: unknown, key: string): void {
  console.error(`sluice: the callback of getKeyAsync(${JSON.stringify(key)}) failed:`, error);
}
