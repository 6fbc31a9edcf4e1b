/** scriptedHttp: a transport whose answers a test gives. */

import type { TestEnv } from '../../src/testing/index.js';

/** A call of the transport. */
export interface HttpCall {
  readonly at: number;
  readonly path: string;
  /** The keys of the path, decoded. */
  readonly keys: readonly string[];
  readonly signal: AbortSignal;
  readonly callback: (error: unknown, body?: unknown) => void;
  reply(values: Readonly<Record<string, unknown>> | string): void;
  fail(error: unknown): void;
  cancelled: boolean;
}

/** How a call is answered: after so long, with these values, this text, or this error. */
export interface Answer {
  readonly afterMs?: number;
  readonly values?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
  readonly error?: unknown;
}

/** With `answer`, each call is answered by it; without, the test replies. `cancels: false` makes a transport that cannot cancel. */
export function scriptedHttp(env: TestEnv, answer?: (call: HttpCall, index: number) => Answer | undefined, cancels = true) {
  const calls: HttpCall[] = [];
  const httpGetAsync = (
    path: string,
    callback: (error: unknown, body?: unknown) => void,
    { signal }: { readonly signal: AbortSignal },
  ) => {
    const call: HttpCall = {
      at: env.clock.now(),
      path,
      keys: path
        .slice(path.indexOf('keys=') + 5)
        .split(',')
        .map(decodeURIComponent),
      signal,
      callback,
      cancelled: false,
      reply: (values) => callback(null, typeof values === 'string' ? values : JSON.stringify(values)),
      fail: (error) => callback(error),
    };
    calls.push(call);
    const given = answer?.(call, calls.length - 1);
    if (given !== undefined) {
      const { afterMs, values, body = values === undefined ? undefined : JSON.stringify(values), error } = given;
      const reply = () => callback(error, body);
      if (afterMs === undefined) reply();
      else env.clock.after(afterMs, reply);
    }
    if (!cancels) return undefined;
    return () => {
      call.cancelled = true;
    };
  };
  return { httpGetAsync, calls, paths: () => calls.map((call) => `${call.at} ${call.path}`) };
}

/** Values for all keys of a call: their lengths. */
export function lengths(call: HttpCall): Answer {
  return { values: Object.fromEntries(call.keys.map((key) => [key, key.length])) };
}

/** Remembers what callbacks were told: `12 foo=1`, or `12 foo:CODE`, with the time. */
export function recorder(env: TestEnv) {
  const told: string[] = [];
  const errors: Error[] = [];
  const callback = (name: string) => (error: (Error & { code?: string }) | null, value?: number) => {
    told.push(error === null ? `${env.clock.now()} ${name}=${value}` : `${env.clock.now()} ${name}:${error.code}`);
    if (error !== null) errors.push(error);
  };
  return { told, errors, callback };
}
