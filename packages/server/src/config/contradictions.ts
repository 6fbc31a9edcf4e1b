/** Contradictions: what no schema of one value sees, because it takes two. */

import type { Config, PipelineConfig, SinkConfig } from './config.js';
import type { Path } from './source.js';

/** What contradicts something else, and where it stands. */
export interface Contradiction {
  readonly path: Path;
  readonly message: string;
}

/** What in a configuration contradicts itself. */
export function contradictions(config: Config): Contradiction[] {
  const found: Contradiction[] = [];
  const groups = new Map<string, string>();
  for (const [name, { stream = name, group = name, sink, branches }] of Object.entries(config.pipelines)) {
    const cursor = `${group}/${stream}`;
    const other = groups.get(cursor);
    if (other !== undefined)
      found.push({
        path: ['pipelines', name, 'group'],
        message: `the pipeline ${other} reads the stream ${stream} as the group ${group} already; give one of them another group`,
      });
    groups.set(cursor, name);
    for (const [path, to] of appendsOf(name, sink, branches))
      if (to === stream)
        found.push({ path, message: 'a pipeline must not append to the stream that it reads: it would never end' });
  }
  found.push(...circles(config), ...sharedTables(config));
  const ids = new Map<string, number>();
  const hashes = new Map<string, number>();
  for (const [index, { id, hash }] of config.keys.entries()) {
    if (ids.has(id)) found.push({ path: ['keys', index, 'id'], message: `keys[${ids.get(id)}] is called ${id} already` });
    ids.set(id, index);
    if (hashes.has(hash))
      found.push({
        path: ['keys', index, 'hash'],
        message: `keys[${hashes.get(hash)}] is the same key already: make one for each with sluice key`,
      });
    hashes.set(hash, index);
  }
  const { host, port, publicWithoutKeys } = config.gateway;
  if (port !== 0 && port === config.control.port && clash(host, config.control.host))
    found.push({ path: ['control', 'port'], message: `the gateway listens on ${port} already; give one of them another port` });
  if (!isLoopback(host) && config.keys.length === 0 && !publicWithoutKeys)
    found.push({
      path: ['gateway', 'host'],
      message: `${host} can be reached from other machines, and there are no keys: add keys (sluice key makes one), or say gateway.publicWithoutKeys: true`,
    });
  if (!isLoopback(config.control.host) && !config.keys.some(({ scopes }) => scopes.includes('admin')))
    found.push({
      path: ['control', 'host'],
      message: `${config.control.host} can be reached from other machines: the control plane needs a key with the scope admin`,
    });
  return found;
}

/** The streams that a pipeline appends to, with where that is said. */
function appendsOf(name: string, sink: SinkConfig, branches: PipelineConfig['branches']): (readonly [Path, string])[] {
  const sinks: [Path, SinkConfig][] = [[['pipelines', name, 'sink', 'stream'], sink]];
  for (const [branch, one] of Object.entries(branches)) sinks.push([['pipelines', name, 'branches', branch, 'stream'], one]);
  return sinks.flatMap(([path, one]) => (one.type === 'stream' ? [[path, one.stream] as const] : []));
}

/** Streams that come back to themselves through others; a pipeline that does so alone is told apart. */
function circles({ pipelines }: Config): Contradiction[] {
  const edges = Object.entries(pipelines).flatMap(([name, { stream = name, sink, branches }]) =>
    appendsOf(name, sink, branches).flatMap(([path, to]) => (to === stream ? [] : [{ path, from: stream, to }])),
  );
  const found: Contradiction[] = [];
  const done = new Set<string>();
  const follow = (stream: string, way: readonly string[]): void => {
    for (const { path, from, to } of edges) {
      if (from !== stream || done.has(to)) continue;
      const start = way.indexOf(to);
      if (start < 0) follow(to, [...way, to]);
      else
        found.push({
          path,
          message: `it closes a circle of streams, in which events would never end: ${[...way.slice(start), to].join(' → ')}`,
        });
    }
    done.add(stream);
  };
  for (const { from } of edges) if (!done.has(from)) follow(from, [from]);
  return found;
}

/** Outboxes of one table: each would take events from the other. */
function sharedTables({ outboxes, database = '' }: Config): Contradiction[] {
  const found: Contradiction[] = [];
  const tables = new Map<string, string>();
  for (const [name, { url = database, table }] of Object.entries(outboxes)) {
    const place = `${url} ${table}`;
    const other = tables.get(place);
    if (other !== undefined)
      found.push({
        path: ['outboxes', name],
        message: `the outbox ${other} relays the table ${table} of this database already; give one of them another table, or remove it`,
      });
    tables.set(place, name);
  }
  return found;
}

/** Whether two servers cannot listen on one port of these addresses. */
function clash(one: string, other: string): boolean {
  const [a, b] = [one.toLowerCase(), other.toLowerCase()];
  if (a === b || a === '::' || b === '::') return true;
  if (a === '0.0.0.0' || b === '0.0.0.0') return !(a === '0.0.0.0' ? b : a).includes(':');
  // It is listened on at both addresses that it has.
  if (a === 'localhost' || b === 'localhost') return ['127.0.0.1', '::1'].includes(a === 'localhost' ? b : a);
  return false;
}

/** Whether an address reaches this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
