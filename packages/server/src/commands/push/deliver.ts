/** Deliver: one batch to the gateway, sent again where that is safe, cut in two where it is too large. */

import { setTimeout as delay } from 'node:timers/promises';
import { failure, type SluiceError } from 'sluice';
import { Pool } from 'undici';
import { type Answer, readLoss, readReply } from './answer.js';
import type { PartReceipt, PushItem } from './ledger.js';

/** Where batches go, and how stubbornly. */
export interface DeliverOptions {
  /** The gateway, such as `http://127.0.0.1:8080`. */
  readonly url: URL;
  /** Path and query of the events. */
  readonly path: string;
  /** Sent with each request, besides its type. Default: none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Requests in flight at once. */
  readonly concurrency: number;
  /** How many times a request is sent again before the push gives up. */
  readonly retries: number;
  /** Every item has an id of its own, so that sending it twice adds it once; asked only after a lost reply. */
  readonly repeatable: (items: readonly PushItem[]) => boolean;
  /** Ends the waits between retries. */
  readonly signal: AbortSignal;
  /** Told of every wait. */
  readonly onRetry?: (problem: string, delayMs: number) => void;
  /** Told with each receipt that says that no pipeline reads the stream. */
  readonly onNoPipeline?: () => void;
}

/** Sends batches. */
export interface Delivery {
  /**
   * Sends items and tells each run of them its receipt.
   *
   * @throws SluiceError when it gave up: `UNREACHABLE`, `REPLY_LOST`, `NOT_A_GATEWAY`, or the code that the gateway gave. The class
   * is `permanent` when the same command again cannot help.
   */
  send(items: readonly PushItem[], settled: (run: readonly PushItem[], receipt: PartReceipt) => void): Promise<void>;
  close(): Promise<void>;
}

/** Tries before anything was ever answered: enough for a service that is just starting, not so many that a wrong address takes long. */
const firstTries = 3;

/** A delivery to one gateway. */
export function createDelivery(options: DeliverOptions): Delivery {
  const pool = new Pool(options.url.origin, {
    connections: options.concurrency,
    pipelining: 1,
    connectTimeout: 10_000,
    headersTimeout: 60_000,
    bodyTimeout: 60_000,
  });
  let everAnswered = false;

  const sendOnce = async (items: readonly PushItem[]): Promise<Answer> => {
    const answer = await request(pool, options, items);
    everAnswered ||= answer.kind !== 'failed' || answer.failure.code !== 'UNREACHABLE';
    return answer;
  };
  const send: Delivery['send'] = async (items, settled) => {
    for (let attempt = 0; ; attempt++) {
      const answer = await sendOnce(items);
      if (answer.kind === 'receipt') {
        if (!answer.hasPipeline) options.onNoPipeline?.();
        return settled(items, answer.receipt);
      }
      if (answer.kind === 'tooLarge') {
        if (items.length === 1) {
          const { code, message } = answer;
          return settled(items, {
            ack: 'durable',
            accepted: 0,
            duplicates: 0,
            rejected: 1,
            errors: [{ index: 0, code, message }],
          });
        }
        const half = items.length >> 1;
        await send(items.slice(0, half), settled);
        return send(items.slice(half), settled);
      }
      await backOff(answer.failure, attempt, items);
    }
  };
  /** Waits before the next attempt, or throws when there should be none. */
  const backOff = async (problem: SluiceError, attempt: number, items: readonly PushItem[]): Promise<void> => {
    if (problem.class === 'permanent') throw problem;
    if (problem.class === 'unknown' && !options.repeatable(items)) throw replyLost(items, problem);
    if (attempt >= (everAnswered ? options.retries : Math.min(options.retries, firstTries - 1))) throw problem;
    const base = Math.min(200 * 2 ** attempt, 5_000);
    const delayMs = Math.max(base * (1 + Math.random()), problem.retryAfterMs ?? 0);
    options.onRetry?.(problem.message, delayMs);
    await delay(delayMs, undefined, { signal: options.signal }).catch(() => {
      throw problem;
    });
  };
  return { send, close: () => pool.destroy() };
}

const newline = Buffer.from('\n');

async function request(pool: Pool, { path, url, headers: own }: DeliverOptions, items: readonly PushItem[]): Promise<Answer> {
  const body = Buffer.concat(items.flatMap(({ json }) => [json, newline]));
  try {
    const response = await pool.request({
      method: 'POST',
      path,
      headers: { 'content-type': 'application/x-ndjson', ...own },
      body,
    });
    const { statusCode: status, headers } = response;
    return readReply({ status, headers, text: await response.body.text() }, url.origin);
  } catch (error) {
    return readLoss(error, url.origin);
  }
}

function replyLost(items: readonly PushItem[], problem: SluiceError): SluiceError {
  const lines = `lines ${items[0]?.line} to ${items[items.length - 1]?.line}`;
  return failure(
    `${problem.message} before the answer for ${lines}, and not all of them have an id: sending them again might add them twice. ` +
      'Look whether they have arrived; with --id hash, or an id in each event, a push can simply be repeated',
    { code: 'REPLY_LOST', class: 'unknown', cause: problem },
  );
}
