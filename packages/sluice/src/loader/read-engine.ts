/** Read engine: the engine behind the key fetcher and the key-value client. One window, one `GET /read?keys=…`. */

import { stack } from '../core/stack.js';
import type { Env } from '../env/env.js';
import { limit } from '../layers/limit.js';
import { retry } from '../layers/retry.js';
import { timeout } from '../layers/timeout.js';
import { tellByArrival } from './arrival.js';
import { type BatchFunction, batchDispatcher } from './batch-call.js';
import { deadline } from './deadline.js';
import { halve } from './halve.js';
import { KeyEngine } from './key-engine.js';
import type { KeyFetcherSettings } from './key-fetcher-options.js';
import { encodeKeys, fill, keyBytes, pathBeforeKeys } from './read-path.js';
import { readReply } from './read-reply.js';
import { get, urlTooLong } from './transport.js';

/** Makes the engine; what it ignores it counts in `counts`. */
export function readEngine(
  settings: KeyFetcherSettings,
  counts: { lateReplies: number; unrequestedKeys: number },
): KeyEngine<string, number> {
  const { name, maxInFlight, maxAttempts, deadlineMs } = settings;
  const prefix = pathBeforeKeys(settings.path);
  const maxKeysBytes = settings.maxUrlBytes - prefix.length;

  const reader =
    (engineEnv: Env): BatchFunction<string, number> =>
    async (keys, { signal, batchId }) => {
      const onLate = () => {
        counts.lateReplies++;
        engineEnv.observe({ type: 'lateReply', name });
      };
      const body = await get(settings.httpGetAsync, prefix + encodeKeys(keys), signal, onLate);
      const { entries, unrequested } = readReply(body, settings.parseKvs, keys);
      counts.unrequestedKeys += unrequested;
      if (unrequested > 0) engineEnv.observe({ type: 'unrequested', batchId, keys: unrequested });
      return entries;
    };
  const retries = { maxAttempts, baseMs: settings.retryBaseMs, maxDelayMs: settings.retryMaxDelayMs };
  const layers = [
    ...(deadlineMs === Number.POSITIVE_INFINITY ? [] : [deadline<string, number>(deadlineMs)]),
    ...(maxAttempts === 1 ? [] : [retry<string, number>(retries)]),
    halve<string, number>(urlTooLong),
    limit<string, number>({ maxInFlight }),
    timeout<string, number>({ timeoutMs: settings.timeoutMs, maxAbandoned: Number.POSITIVE_INFINITY }),
  ];
  return new KeyEngine<string, number>({
    // Its name, its environment, and the bounds of what is held.
    ...settings,
    window: { maxDelayMs: settings.windowMs },
    // No size trigger: one window is one call, however many ask.
    maxItems: Number.POSITIVE_INFINITY,
    maxBytes: Number.POSITIVE_INFINITY,
    keyBy: undefined,
    bytesOf: (key) => keyBytes(key, maxKeysBytes),
    // One more than fits: the last key has no comma.
    tellAll: tellByArrival,
    split: (items) => fill(items, (item) => item.bytes, maxKeysBytes + 1),
    dispatcher: (env) => stack(layers, batchDispatcher({ batchFn: reader(env), env, keyBy: undefined, early: () => {} }), env),
  });
}
