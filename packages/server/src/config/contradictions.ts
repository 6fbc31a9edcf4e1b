/** Contradictions: what no schema of one value sees, because it takes two. */

import type { Config } from './config.js';
import type { Path } from './source.js';

/** What in a configuration contradicts itself. */
export function contradictions(config: Config): { readonly path: Path; readonly message: string }[] {
  const found: { readonly path: Path; readonly message: string }[] = [];
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
    for (const one of [sink, ...Object.values(branches)])
      if (one.type === 'stream' && one.stream === stream)
        found.push({
          path: ['pipelines', name, 'sink', 'stream'],
          message: 'a pipeline must not append to the stream that it reads: it would never end',
        });
  }
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
  const { host, publicWithoutKeys } = config.gateway;
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

/** Whether an address reaches this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
