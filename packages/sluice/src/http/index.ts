/** `sluice/http`: a client of `GET /read`, and a sink that sends batches. */

export type { LoaderStats } from '../loader/key-engine.js';
export type { KeyFetcherStats } from '../loader/key-fetcher.js';
export type { CallOptions } from '../loader/leaving.js';
export { type HttpSinkOptions, httpSink } from './http-sink.js';
export { createKeyValueClient, type KeyValueClient, type KeyValueClientOptions, type ReadOptions } from './key-value-client.js';
export { encodeKeys, splitKeys } from './read-query.js';
