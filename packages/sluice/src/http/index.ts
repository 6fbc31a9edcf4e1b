/** `sluice/http`: a client of `GET /read`. */

export type { CallOptions, LoaderStats } from '../loader/key-engine.js';
export type { KeyFetcherStats } from '../loader/key-fetcher.js';
export { createKeyValueClient, type KeyValueClient, type KeyValueClientOptions } from './key-value-client.js';
export { encodeKeys, splitKeys } from './read-query.js';
