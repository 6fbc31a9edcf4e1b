/** A key fetcher, the transport that it calls, and what its callbacks were told. */

import { createKeyFetcher, type KeyFetcherOptions } from '../../src/loader/key-fetcher.js';
import { testEnv } from '../../src/testing/index.js';
import { type Answer, type HttpCall, recorder, scriptedHttp } from './scripted-http.js';

/** Makes a fetcher whose backend answers as told; without `answer` the test replies. */
export function fetcherWorld(
  options: Partial<KeyFetcherOptions> = {},
  answer?: (call: HttpCall, index: number) => Answer | undefined,
) {
  const env = testEnv();
  const http = scriptedHttp(env, answer);
  const fetcher = createKeyFetcher({ httpGetAsync: http.httpGetAsync, env, ...options });
  const { told, errors, callback } = recorder(env);
  const ask = (key: string, name = key, signal?: AbortSignal) =>
    fetcher.getKeyAsync(key, callback(name), signal === undefined ? undefined : { signal });
  return { env, http, fetcher, told, errors, ask, callback };
}
