/** Reads: one batching client for each key-value backend; of several, each key is asked of one, chosen by the key. */

import { type Env, type SluiceError, shardOf } from 'sluice';
import { createKeyValueClient } from 'sluice/http';
import type { Config } from '../config/config.js';
import type { ReadKeys } from '../gateway/read.js';

/** The clients of the backends. */
export interface Reads {
  readonly read: ReadKeys;
  close(options: { readonly deadlineMs: number }): Promise<void>;
}

/** Makes the clients. A key always goes to the same backend (rendezvous hashing: one more takes its share from all others alike). */
export function createReads(
  upstreams: readonly string[],
  { windowMs, timeoutMs, maxHeldItems }: Config['reads'],
  env: Env,
): Reads {
  const clients = upstreams.map((url, index) =>
    createKeyValueClient({
      ...{ url, windowMs, env, maxAttempts: 3, deadlineMs: timeoutMs },
      maxHeldWaiters: maxHeldItems,
      fetch: withoutRedirects,
      name: upstreams.length === 1 ? 'reads' : `reads-${index}`,
    }),
  );
  const fromAll: ReadKeys = async (keys, whenGone) => {
    const shares = clients.map((): string[] => []);
    for (const key of keys) shares[Number(shardOf(key, clients.length))]!.push(key);
    const found = await Promise.all(clients.map((client, i) => client.readSettled(shares[i]!, { whenGone })));
    const all = new Map<string, number | SluiceError>();
    for (const share of found) for (const [key, value] of share) all.set(key, value);
    return all;
  };
  const [first] = clients;
  return {
    read: clients.length === 1 ? (keys, whenGone) => first!.readSettled(keys, { whenGone }) : fromAll,
    async close(options) {
      await Promise.all(clients.map((client) => client.close(options)));
    },
  };
}

/** A backend must not send this service, which stands inside the network, to an address of its choice. */
const withoutRedirects: typeof fetch = (input, init) => fetch(input, { ...init, redirect: 'manual' });
