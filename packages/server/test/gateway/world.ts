/** A world for the tests of the gateway: a memory log, a gateway on a free port, a client. */

import { createMemoryLog, type Log, type LogRecord } from 'sluice/log';
import { afterEach } from 'vitest';
import { createGateway, type Gateway, type GatewayOptions } from '../../src/gateway/gateway.js';

export const ndjson = 'application/x-ndjson';
export const json = 'application/json';

// biome-ignore lint/suspicious/noExplicitAny: answers are looked at field by field
export type Answer = any;

export interface World {
  readonly log: Log;
  readonly gateway: Gateway;
  readonly origin: string;
  post(
    body: string | Uint8Array,
    headers?: Record<string, string>,
    query?: string,
  ): Promise<{ status: number; body: Answer; headers: Headers }>;
  stored(): Promise<readonly LogRecord[]>;
}

const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** Starts a world; it is closed after the test. */
export async function start(options: Partial<GatewayOptions> = {}): Promise<World> {
  const log = options.log ?? createMemoryLog();
  const gateway = await createGateway({ port: 0, ...options, log });
  open.push(
    () => log.close(),
    () => gateway.close(),
  );
  const origin = `http://127.0.0.1:${gateway.port}`;
  return {
    log,
    gateway,
    origin,
    async post(body, headers = { 'content-type': ndjson }, query = '') {
      const response = await fetch(`${origin}/v1/streams/events/events${query}`, { method: 'POST', body, headers });
      return { status: response.status, body: await response.json(), headers: response.headers };
    },
    stored: () => log.read('events', 0, 0, { maxItems: 100_000, maxBytes: 1e9 }),
  };
}

/** The payloads of records, as text. */
export const payloads = (records: readonly LogRecord[]): string[] =>
  records.map(({ payload }) => Buffer.from(payload).toString('utf8'));

/** A promise and what resolves it. */
export function signal(): { readonly given: Promise<void>; give(): void } {
  let give: () => void = () => {};
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { given, give: () => give() };
}
