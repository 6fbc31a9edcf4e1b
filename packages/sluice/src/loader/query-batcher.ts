/** QueryBatcher: the first call at once and alone, then at most one dispatch every `t` milliseconds (LeetCode 2756). */

import { failure, invalidOption } from '../core/errors.js';
import { checkNames } from '../core/options.js';
import type { DrainReport } from '../engine/engine.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import type { LoaderStats } from './key-engine.js';
import type { CallOptions } from './leaving.js';
import { createLoader, type Loader } from './loader.js';

/** Looks up many keys in one call: one result a key, in key order. An `Error` fails that key alone. */
export type QueryMultiple<K, V> = (keys: K[]) => Promise<readonly (V | Error)[]>;

/** Options of {@link QueryBatcher}. */
export interface QueryBatcherOptions {
  /** Ask for a key once, however many wait for it in one batch. Default true; false passes it as often as it was asked for. */
  readonly dedupe?: boolean;
  /** Keys a batch, 1 or more. A fuller queue waits for further dispatches, each `t` after the one before. Default: no bound. */
  readonly maxItems?: number;
  /** Calls that wait at most; one more is refused with `OVERLOADED`. Default 100,000. */
  readonly maxHeldWaiters?: number;
  /** Longest time that one query may take, in milliseconds, 1 or more. Default: no bound, since it may take as long as it likes. */
  readonly timeoutMs?: number;
  /** Names it in events and messages. Default `'query batcher'`. */
  readonly name?: string;
  /** Time, randomness, observation. Default: the system's. */
  readonly env?: Env;
}

const optionNames = ['dedupe', 'maxItems', 'maxHeldWaiters', 'timeoutMs', 'name', 'env'];

/** A key as it is held: with a name of its own where the same key may stand in a batch twice. */
interface Asked<K> {
  readonly key: K;
  readonly identity: string | number | bigint | boolean | symbol;
}

/**
 * Batches queries under a throttle: a call that finds it idle is dispatched at once, alone and in the same turn; what comes within `t`
 * milliseconds of a dispatch leaves together, `t` after that dispatch *began*. Queries may take longer than `t`, overlap, and end in
 * any order. Without traffic no timer runs. With `t` 0 each call is dispatched at once by itself.
 *
 * A class, since it was asked for as one (LeetCode 2756, "Query Batching"). The window alone is `{ throttleMs: t }`, for
 * `createLoader` and `createBatcher` too.
 *
 * @example
 * const users = new QueryBatcher(async (ids: string[]) => fetchUsers(ids), 100);
 * const ann = await users.getValue('ann');
 */
export class QueryBatcher<K extends string | number | bigint | boolean | symbol, V> {
  readonly #loader: Loader<Asked<K>, V>;
  readonly #identityOf: (key: K) => Asked<K>['identity'];

  /**
   * @param queryMultiple looks up distinct keys, in order of arrival. If it throws, rejects, or returns anything but one result a
   * key, all callers of that batch are rejected and the next batch is unaffected.
   * @param t milliseconds from dispatch to dispatch, 0 or more.
   * @throws SluiceError `INVALID_OPTION`
   */
  constructor(queryMultiple: QueryMultiple<K, V>, t: number, options: QueryBatcherOptions = {}) {
    checkNames('QueryBatcher', options, optionNames);
    const { dedupe = true, env = systemEnv() } = options;
    if (typeof queryMultiple !== 'function') throw invalidOption('QueryBatcher needs a function: (keys) => Promise of results.');
    let asked = 0;
    this.#identityOf = dedupe ? (key) => key : () => asked++;
    const query = async (batch: readonly Asked<K>[]) => {
      const results: unknown = await queryMultiple(batch.map(({ key }) => key));
      if (Array.isArray(results)) return results as readonly V[];
      throw failure(`queryMultiple must return an array, one result a key; it returned ${typeof results}.`, {
        code: 'BAD_RESULT',
      });
    };
    this.#loader = createLoader<Asked<K>, V>(query, {
      env,
      name: options.name ?? 'query batcher',
      window: { throttleMs: t },
      keyBy: ({ identity }) => identity,
      maxItems: options.maxItems ?? Number.POSITIVE_INFINITY,
      maxInFlight: Number.POSITIVE_INFINITY,
      timeoutMs: options.timeoutMs ?? Number.POSITIVE_INFINITY,
      ...(options.maxHeldWaiters === undefined ? {} : { maxHeldWaiters: options.maxHeldWaiters }),
    }) as Loader<Asked<K>, V>;
  }

  /**
   * The value of a key.
   *
   * @throws SluiceError what `queryMultiple` failed with (its own error is the `cause`), `RESULT_LENGTH_MISMATCH`, `BAD_RESULT`,
   * `TIMEOUT`, `CANCELLED`, `OVERLOADED`, `CLOSED`.
   */
  async getValue(key: K, options?: CallOptions): Promise<V> {
    // `find`: an undefined result is a value like any other here.
    return (await this.#loader.find({ key, identity: this.#identityOf(key) }, options)) as V;
  }

  /** Dispatches what is held at once, throttle or not, and resolves once every call made before is settled. Never rejects. */
  flush(): Promise<void> {
    return this.#loader.flush();
  }

  /** Accepts no more, dispatches what is held, and waits for it; see `Loader.close`. */
  close(options?: { readonly deadlineMs?: number }): Promise<DrainReport> {
    return this.#loader.close(options);
  }

  /** The balance at this instant. */
  stats(): LoaderStats {
    return this.#loader.stats();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
