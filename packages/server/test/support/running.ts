/** A service in this process, without a database, and the command line run against it. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { run } from '../../src/cli.js';
import { configSchema } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load.js';
import { override } from '../../src/config/override.js';
import { type Service, startService } from '../../src/service/service.js';
import { terminal } from './printed.js';

/** What a command printed, and its exit code. */
export interface Printed {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Makes a folder for a test, and services in it; the last one is stopped and the folder removed when the test is over. */
export function useRunning() {
  let folder = '';
  let service: Service | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sluice-running-'));
  });
  afterEach(async () => {
    await service?.stop(5_000);
    service = undefined;
    rmSync(folder, { recursive: true, force: true });
  });
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);

  return {
    get folder() {
      return folder;
    },
    get service(): Service {
      if (service === undefined) throw new Error('start one first');
      return service;
    },
    write,
    /** Starts a service with this configuration, in YAML. */
    async start(config: string): Promise<Service> {
      write('sluice.config.yaml', config);
      const loaded = await loadConfig(undefined, { folder, environment: {} });
      service = await startService(override(loaded, { port: 0, controlPort: 0 }, folder));
      return service;
    },
    /** Starts a service with these values of its configuration, which may hold functions; with free ports, unless they name some. */
    async startWith(values: object): Promise<Service> {
      const config = configSchema.parse({
        dataDir: join(folder, 'data'),
        gateway: { port: 0 },
        control: { port: 0 },
        ...values,
      });
      service = await startService({ config, file: undefined, folder });
      return service;
    },
    /** Sends events, with ids from these numbers. */
    async post(ids: readonly number[], stream = 'events', headers: Readonly<Record<string, string>> = {}): Promise<void> {
      const response = await fetch(`${service!.url}/v1/streams/${stream}/events?ack=durable`, {
        method: 'POST',
        body: ids.map((id) => JSON.stringify({ id: String(id), n: id })).join('\n'),
        headers: { 'content-type': 'application/x-ndjson', ...headers },
      });
      if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    },
    /** Runs a command that talks to the control plane. */
    control: (...args: string[]): Promise<Printed> => sluice(...args, '--control', service!.controlUrl),
    /** Runs a command that talks to the gateway. */
    gateway: (...args: string[]): Promise<Printed> => sluice(...args, '--url', service!.url),
  };
}

/** Runs the command line. */
export async function sluice(...args: string[]): Promise<Printed> {
  const io = terminal();
  const code = await run(args, io);
  return { code, out: io.printed.out, err: io.printed.err };
}
