/** HTTP sink: a batch as one request, over `fetch`, and each item's own outcome out of the answer. */

import type { Sink, SinkContext } from '../core/dispatcher.js';
import { failure, invalidOption, type SluiceError, shorten } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import { type ItemResult, itemResults } from './item-results.js';
import { readAnswer, unreachableFailure } from './sink-answer.js';

/** Options of {@link httpSink}. */
export interface HttpSinkOptions<T> {
  /** Where batches go: an absolute http or https address. */
  readonly url: string | URL;
  /** Default `'POST'`. */
  readonly method?: 'POST' | 'PUT' | 'PATCH';
  /** Headers of each request, such as `authorization`. Default none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** `'json'`: one array. `'ndjson'`: a line for each item. Default `'json'`. */
  readonly format?: 'json' | 'ndjson';
  /** Content type of the body. Default that of the format. */
  readonly contentType?: string;
  /** JSON text of an item. What it throws fails that item alone. Default `JSON.stringify`. */
  readonly encode?: (item: T) => string;
  /** Sends the body gzipped. Default false. */
  readonly gzip?: boolean;
  /**
   * The receiver takes the same request twice without harm, as one that honours `Idempotency-Key` does: what is unknown is tried
   * again. Default false.
   */
  readonly idempotent?: boolean;
  /** Longest answer that is read, in bytes; a longer one tells nothing of single items. Default 1 MiB. */
  readonly maxResponseBytes?: number;
  /** Sends the requests. Default: the platform's `fetch`, looked up at each call. */
  readonly fetch?: typeof fetch;
  /** Time and randomness. Default: the system's. */
  readonly env?: Env;
}

const optionNames = [
  ...['url', 'method', 'headers', 'format', 'contentType', 'encode', 'gzip', 'idempotent', 'maxResponseBytes', 'fetch', 'env'],
];

/**
 * A sink that sends each batch as one request with an `Idempotency-Key`: the same for each retry of the same items.
 *
 * - 2xx: all items are done, but for those that the answer names: `{ "errors": [{ "index", "message", "code"?, "status"? }] }`, or one
 *   entry per item in `{ "results": [{ "status", "error"? }] }`, as 207 does.
 * - 413: the batch is halved, for this call only; one item that is too large fails alone.
 * - 429, 503, 408, 425: transient, no sooner than `Retry-After` says. 401, 403, 404, 405, 407: blocked, as is a redirect.
 * - Other 4xx: permanent, so that `bisect` finds the item. Other 5xx, and a connection that broke after the request was sent: unknown.
 *
 * @throws SluiceError `INVALID_OPTION`
 *
 * @example
 * const audit = createBatcher({ sink: httpSink({ url: 'https://hooks.example/audit', idempotent: true }), layers: [retry(), bisect()] });
 */
export function httpSink<T>(options: HttpSinkOptions<T>): Sink<T> & { readonly idempotent: boolean } {
  const { url, call, encode, joined } = prepared(options);
  const { random, clock } = options.env ?? systemEnv();
  // Batches are numbered anew in each process: the receiver must not mistake one of today for one of yesterday.
  const origin = Array.from({ length: 4 }, () => Math.floor(random.next() * 2 ** 24).toString(36)).join('');

  async function send(texts: readonly string[], key: string, signal: AbortSignal): Promise<readonly ItemResult[]> {
    let response: Response;
    try {
      response = await call(joined(texts), key, signal);
    } catch (thrown) {
      throw unreachableFailure(url, thrown);
    }
    if (response.status === 413) {
      void response.body?.cancel().catch(() => {});
      return halves(texts, key, signal);
    }
    return readAnswer(response, texts.length, options.maxResponseBytes ?? 1 << 20, clock.wall());
  }

  async function halves(texts: readonly string[], key: string, signal: AbortSignal): Promise<readonly ItemResult[]> {
    if (texts.length === 1)
      return [
        failure(`the receiver answers 413: an item of ${texts[0]!.length} characters is too large for it`, {
          code: 'ITEM_TOO_LARGE',
        }),
      ];
    const middle = texts.length >> 1;
    const results: ItemResult[] = [];
    // One after the other: the second must not overtake the first.
    for (const [index, part] of [texts.slice(0, middle), texts.slice(middle)].entries()) {
      const outcome = await send(part, `${key}.${index + 1}`, signal).catch((problem: SluiceError) => part.map(() => problem));
      results.push(...outcome);
    }
    return results;
  }

  return {
    idempotent: options.idempotent === true,
    async write(items: readonly T[], { batchId, signal }: SinkContext) {
      const { texts, results } = encodedItems(items, encode);
      if (texts.length === 0) return results;
      return itemResults(results, await send(texts, `${origin}-${batchId}`, signal));
    },
  };
}

function prepared<T>(options: HttpSinkOptions<T>) {
  checkNames('httpSink', options, optionNames);
  numberOption('httpSink: maxResponseBytes', options.maxResponseBytes, 1, { least: 1, whole: true });
  const { method = 'POST', format = 'json', headers = {}, gzip = false, contentType, encode = JSON.stringify } = options;
  const url = String(options.url);
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw invalidOption(`httpSink: url must be an absolute http or https address; got ${shorten(url)}`);
  if (!['POST', 'PUT', 'PATCH'].includes(method))
    throw invalidOption(`httpSink: method must be POST, PUT or PATCH; got ${shorten(method)}`);
  if (!['json', 'ndjson'].includes(format))
    throw invalidOption(`httpSink: format must be 'json' or 'ndjson'; got ${shorten(format)}`);
  const fixed = {
    'content-type': contentType ?? (format === 'json' ? 'application/json' : 'application/x-ndjson'),
    accept: 'application/json',
    ...(gzip ? { 'content-encoding': 'gzip' } : {}),
    ...headers,
  };
  return {
    url: new URL(url).origin,
    encode: encode as (item: T) => string,
    joined:
      format === 'json'
        ? (texts: readonly string[]) => `[${texts.join(',')}]`
        : (texts: readonly string[]) => `${texts.join('\n')}\n`,
    async call(text: string, key: string, signal: AbortSignal): Promise<Response> {
      const body = gzip ? await zipped(text) : text;
      return (options.fetch ?? globalThis.fetch)(url, {
        method,
        body,
        signal,
        redirect: 'manual',
        headers: { ...fixed, 'idempotency-key': key },
      });
    },
  };
}

/** A line of NDJSON must not hold a line break; in JSON text one is white space. */
function encodedItems<T>(
  items: readonly T[],
  encode: (item: T) => string,
): { texts: string[]; results: (ItemResult | undefined)[] } {
  const texts: string[] = [];
  const results = items.map((item) => {
    try {
      const text = encode(item);
      if (typeof text !== 'string') return failure(`an item has no JSON text: ${shorten(item)}`, { code: 'INVALID_VALUE' });
      texts.push(text.replace(/[\r\n]+/g, ' '));
      return undefined;
    } catch (cause) {
      return failure(`an item has no JSON text: ${(cause as Error).message}`, { code: 'INVALID_VALUE', cause });
    }
  });
  return { texts, results };
}

async function zipped(text: string): Promise<ArrayBuffer> {
  return new Response(new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'))).arrayBuffer();
}
