/** Configuration: four pipelines of four kinds over three streams, with settings that a reload may change. */

import { createServer } from 'node:net';
import { stringify } from 'yaml';
import { makeKey } from '../../packages/server/src/gateway/caller.js';
import type { Draw } from '../torture/draw.js';

/** The tenants; the last may send less than it wants to. */
export const tenants = ['north', 'south', 'small'] as const;

export type Tenant = (typeof tenants)[number];

/** What stays the same over all lives. */
export interface Setting {
  readonly port: number;
  readonly controlPort: number;
  readonly keys: Readonly<Record<Tenant | 'ops', { readonly key: string; readonly hash: string }>>;
  readonly dataDir: string;
  readonly database: string;
  readonly receiver: string;
}

/** Free ports and new keys. */
export async function newSetting(given: Pick<Setting, 'dataDir' | 'database' | 'receiver'>): Promise<Setting> {
  const [port, controlPort] = await freePorts(2);
  const keys = Object.fromEntries([...tenants, 'ops'].map((id) => [id, makeKey(id)])) as Setting['keys'];
  return { ...given, port: port!, controlPort: controlPort!, keys };
}

/** Free disk space that appends leave. */
export const reserveBytes = 16 << 20;

/** The handler of the pipeline `local`: it notes what it takes, refuses marked events, and asks for some again. */
export const handlerText = `import { appendFileSync } from 'node:fs';
let calls = 0;
export function take(events) {
  const again = ++calls % 20 === 0;
  const verdicts = events.map(({ data }, i) => (data.marked ? 'dead' : again && i % 5 === 0 ? 'retry' : 'ack'));
  const taken = events.filter((_, i) => verdicts[i] === 'ack').map(({ id }) => id + '\\n').join('');
  appendFileSync(new URL('./notes.txt', import.meta.url), taken);
  return verdicts;
}
`;

/** The text of a configuration. Without a draw: the settings of the first start. */
export function configurationText(setting: Setting, draw?: Draw): string {
  const { port, controlPort, keys, dataDir, database, receiver } = setting;
  const drawn = () => ({
    window: { maxDelayMs: draw?.int(1, 100) ?? 20 },
    maxItems: draw?.int(1, 1_000) ?? 500,
    maxInFlight: draw?.int(1, 6) ?? 4,
    shards: draw?.int(1, 12) ?? 8,
    retry: { baseMs: 20, maxDelayMs: 200 },
    breaker: { maxFailures: 5, cooldownMs: 300 },
  });
  return stringify({
    dataDir,
    database,
    drainDeadlineMs: 4_000,
    gateway: { port, ackTimeoutMs: draw?.int(200, 3_000) ?? 2_000 },
    control: { port: controlPort },
    log: { reserveBytes },
    keys: Object.entries(keys).map(([id, { hash }]) => ({
      ...{ id, hash, tenant: id },
      scopes: id === 'ops' ? ['admin'] : ['write'],
    })),
    tenants: { small: { itemsPerSecond: draw?.int(50, 400) ?? 200 } },
    streams: { orders: { key: 'customer', partitions: 2 }, notes: { key: 'customer' } },
    pipelines: {
      once: {
        ...drawn(),
        stream: 'orders',
        timeoutMs: 2_000,
        sink: {
          type: 'postgres',
          table: 'orders',
          columns: { id: 'id', tenant: 'tenant', customer: 'payload.customer', marked: 'payload.marked' },
          createTable: 'CREATE TABLE orders (id text, tenant text, customer text, marked boolean CHECK (NOT marked))',
          effectivelyOnce: true,
        },
      },
      archive: { ...drawn(), stream: 'orders', sink: { type: 'file', dir: './archive', maxAgeMs: 2_000, maxBytes: 200_000 } },
      hook: { ...drawn(), stream: 'calls', timeoutMs: 1_500, sink: { type: 'http', url: receiver, idempotent: true } },
      local: { ...drawn(), stream: 'notes', sink: { type: 'module', handler: './handler.js#take', idempotent: true } },
    },
  });
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  return Promise.all(
    servers.map(async (server) => {
      const { port } = server.address() as { readonly port: number };
      await new Promise((resolve) => server.close(resolve));
      return port;
    }),
  );
}
