/** Prometheus: a real one that scrapes a service and holds its alert rules. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** A Prometheus that runs. */
export interface Prometheus {
  /** The value of a query of one series; `undefined` while there is none. */
  value(query: string): Promise<number | undefined>;
  /** Names of the alerts that fire. */
  firing(): Promise<string[]>;
  stop(): Promise<void>;
}

/**
 * Starts one.
 *
 * @param folder for its configuration and its data.
 * @param rules file of the alert rules.
 */
export async function startPrometheus(folder: string, controlUrl: string, rules: string): Promise<Prometheus> {
  const port = await freePort();
  const config = join(folder, 'prometheus.yml');
  const often = 'scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms';
  const job = `{ job_name: sluice, static_configs: [{ targets: ['${new URL(controlUrl).host}'] }] }`;
  await writeFile(config, `global: { ${often} }\nrule_files: ['${rules}']\nscrape_configs: [${job}]\n`);
  const child = spawn(
    'prometheus',
    [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'tsdb')}`, `--web.listen-address=127.0.0.1:${port}`],
    { stdio: 'ignore' },
  );
  const ended = once(child, 'close');
  const ask = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`).catch(() => undefined);
    return response?.ok === true ? ((await response.json()) as { data: unknown }).data : undefined;
  };
  return {
    async value(query) {
      const found = (await ask(`query?query=${encodeURIComponent(query)}`)) as
        | { result: { value: [number, string] }[] }
        | undefined;
      const value = found?.result[0]?.value[1];
      return value === undefined ? undefined : Number(value);
    },
    async firing() {
      const found = (await ask('alerts')) as { alerts: { state: string; labels: { alertname: string } }[] } | undefined;
      return (found?.alerts ?? []).filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname);
    },
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
