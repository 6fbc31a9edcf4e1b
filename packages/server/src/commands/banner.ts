/** Banner: what a service that has started says of itself. */

import { join } from 'node:path';
import type { Config, PipelineConfig, SinkConfig } from '../config/config.js';
import type { Loaded } from '../config/load.js';
import { withoutSecrets } from '../config/secrets.js';
import type { Service } from '../service/service.js';

/** What `sluice up` prints when the service runs: where everything is, and commands to try. */
export function banner(service: Service, loaded: Loaded, startedInMs: number): string {
  const { config, file } = loaded;
  const { url, controlUrl, backendUrl, dataDir } = service;
  const streams = Object.entries(config.pipelines).map(([name, { stream = name }]) => stream);
  const stream = streams[0] ?? 'events';
  // An event that anybody could send is refused where there are schemas.
  const free = streams.length === 0 ? stream : streams.find((one) => (config.streams[one]?.schemas ?? []).length === 0);
  const isAdminAsked = config.keys.some(({ scopes }) => scopes.includes('admin'));
  const key = (isAsked: boolean) => (isAsked ? ` -H "authorization: Bearer $SLUICE_KEY"` : '');
  const isKeyAsked = config.keys.length > 0;
  const lines = [
    ...Object.entries(config.pipelines).map(([name, each]) => pipelineLine(name, each)),
    ...Object.values(config.outboxes).map(outboxLine),
  ];
  return `
Sluice is up, after ${(startedInMs / 1000).toFixed(1)} s.

  data plane      ${url}   POST /v1/streams/${stream}/events, GET /read?keys=…
  control plane   ${controlUrl}   /healthz, /readyz, /metrics, /v1/streams, /v1/pipelines, /v1/dead-letters
  log             ${join(dataDir, 'log')}${file === undefined ? '' : `\n  configuration   ${file}`}
${lines.join('\n')}
  PostgreSQL      ${databaseText(service, loaded)}
  read backend    ${backendUrl}

Try it${isKeyAsked ? ', with a key in SLUICE_KEY (`sluice key` makes one)' : ''}:
${free === undefined ? '' : `\n  curl -X POST '${url}/v1/streams/${free}/events'${key(isKeyAsked)} -H 'content-type: application/json' -d '{"id":"1","hello":"world"}'`}
  curl '${url}/read?keys=foo,bar'${key(isKeyAsked)}
  curl '${controlUrl}/v1/pipelines'${key(isAdminAsked)}

Stop with Ctrl-C: it delivers what is in the log first.
`;
}

function pipelineLine(name: string, { stream = name, sink }: PipelineConfig): string {
  return `  pipeline        stream "${stream}" → ${targetOf(sink)}`;
}

function outboxLine({ table, stream }: Config['outboxes'][string]): string {
  return `  outbox          table "${table}" → ${stream === undefined ? 'the streams that its events name' : `stream "${stream}"`}`;
}

function targetOf(sink: SinkConfig): string {
  switch (sink.type) {
    case 'postgres':
      return `table "${sink.table}"`;
    case 'http':
      return new URL(sink.url).origin;
    case 'file':
      return `files in ${sink.dir}`;
    case 'stream':
      return `stream "${sink.stream}"`;
    case 'module':
      return 'a handler';
  }
}

function databaseText({ databaseUrl, databaseIsEmbedded }: Service, { isDatabaseOfEnvironment = false }: Loaded): string {
  if (databaseUrl === undefined) return 'none: no pipeline needs it';
  if (databaseIsEmbedded) return databaseUrl;
  return `${withoutSecrets(databaseUrl)} (${isDatabaseOfEnvironment ? 'DATABASE_URL' : 'database in the configuration'})`;
}
