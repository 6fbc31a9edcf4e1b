import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from './load.js';
import { override } from './override.js';
import { ConfigError } from './problem.js';
import { reread } from './reread.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-config-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
const load = (environment: NodeJS.ProcessEnv = {}, file?: string) => loadConfig(file, { folder, environment });
const problems = async (text: string, environment: NodeJS.ProcessEnv = {}) => {
  write('sluice.config.yaml', text);
  const error = await load(environment).then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).message.split('\n').map((line) => line.replace(`${folder}/`, ''));
};

describe('a configuration', () => {
  it('that is absent is all defaults: the stream events into the table events, on loopback', async () => {
    const { config, file } = await load();
    expect(file).toBeUndefined();
    expect(config.gateway).toMatchObject({ host: '127.0.0.1', port: 8080 });
    expect(Object.keys(config.pipelines)).toEqual(['events']);
    expect(config.pipelines.events!.sink).toMatchObject({ type: 'postgres', table: 'events' });
  });

  it('means the same as TypeScript, JavaScript, YAML and JSON', async () => {
    const audit = { stream: 'orders', sink: { type: 'http', url: 'http://127.0.0.1:1/x' }, window: { maxDelayMs: 80 } };
    const json = JSON.stringify({ pipelines: { audit } }, null, 2);
    const forms = {
      'a.json': json,
      'a.yaml':
        'pipelines:\n  audit:\n    stream: orders\n    sink: { type: http, url: "http://127.0.0.1:1/x" }\n    window: { maxDelayMs: 80 }\n',
      'a.mjs': `export default ${json};`,
      'a.ts': `import { defineConfig } from '@sluice/server';\ninterface Unused { readonly a: number }\nexport default defineConfig(${json});`,
    };
    const loaded = [];
    for (const [name, text] of Object.entries(forms)) {
      write(name, text);
      loaded.push((await load({}, name)).config);
    }
    for (const config of loaded) expect(config).toEqual(loaded[0]);
    expect(loaded[0]!.pipelines.audit).toMatchObject({ ...audit, maxItems: 2000 });
  });

  it('in YAML wants a variable within braces in quotes, and says so', async () => {
    expect((await problems('gateway: { port: ${PORT} }'))[0]).toMatch(
      /^sluice\.config\.yaml:1:19: .*; a variable within \{ … \} stands in quotes: "\$\{PORT\}"$/,
    );
    write('sluice.config.yaml', 'gateway: { port: "${PORT}" }');
    expect((await load({ PORT: '8099' })).config.gateway.port).toBe(8099);
  });

  it('in a program may be a function, and may hold functions', async () => {
    write(
      'sluice.config.js',
      'export default async () => ({ pipelines: { p: { sink: { type: "module", handler: () => {} } } } })',
    );
    const { pipelines } = (await load()).config;
    expect(pipelines.p!.sink).toMatchObject({ type: 'module', handler: expect.any(Function) });
  });

  it('is found by its name; two of them are one too many', async () => {
    write('sluice.config.yaml', 'drainDeadlineMs: 5');
    expect((await load()).file).toBe(join(folder, 'sluice.config.yaml'));
    write('sluice.config.json', '{}');
    await expect(load()).rejects.toThrow(/there is also .*sluice.config.json; keep one/);
  });
});

describe('a mistake', () => {
  it('is named with file, line, column, path and what was probably meant, all of them at once', async () => {
    expect(
      await problems(
        `gateway:
  prot: 8080
  maxItems: "many"
pipelines:
  audit:
    sink: { type: postgers }
  b:
    sink: { type: postgres, tabel: audit }
    window: { maxDelay: 5 }
    maxInFlight: 0
keys:
  - { id: a, hash: abc, tenant: x, scopes: [wirte] }
`,
      ),
    ).toEqual([
      'sluice.config.yaml:3:3: gateway.maxItems: expected a number; got "many"',
      'sluice.config.yaml:2:3: gateway.prot: there is no such option; did you mean port?',
      'sluice.config.yaml:12:14: keys[0].hash: expected sha256: and 64 hexadecimal digits, as `sluice key` prints them; got "…"',
      'sluice.config.yaml:12:45: keys[0].scopes[0]: expected "write" or "read" or "admin"; got "wirte"; did you mean "write"?',
      'sluice.config.yaml:6:13: pipelines.audit.sink.type: expected "postgres" or "http" or "file" or "stream" or "module"; got "postgers"; did you mean "postgres"?',
      'sluice.config.yaml:8:29: pipelines.b.sink.tabel: there is no such option; did you mean table?',
      'sluice.config.yaml:9:15: pipelines.b.window.maxDelay: there is no such option; did you mean maxDelayMs?',
      'sluice.config.yaml:10:5: pipelines.b.maxInFlight: expected at least 1; got 0',
    ]);
  });

  it('of a name lists the options of the type that was named; of several forms says once that one is expected', async () => {
    expect(await problems('pipelines: { a: { sink: { type: module, module: ./a.mjs } } }')).toEqual([
      expect.stringMatching(/a\.sink\.handler: expected a string, or a function, or its module as in .*; got nothing$/),
      expect.stringMatching(/a\.sink\.module: there is no such option; there are type, handler, idempotent$/),
    ]);
  });

  it('of the form names the line', async () => {
    expect((await problems('gateway:\n  port: [1\n'))[0]).toMatch(/^sluice.config.yaml:3:1: /);
    expect((await problems('gateway: {}\ngateway: {}\n'))[0]).toMatch(/^sluice.config.yaml:2:1: Map keys must be unique/);
  });

  it('never shows a password', async () => {
    expect(await problems('database: mysql://me:secret@host/db')).toEqual([
      'sluice.config.yaml:1:1: database: expected an address such as postgres://user:password@host:5432/database; got "mysql://…@host/db"',
    ]);
  });

  it('where there is no file has no name of one in front', async () => {
    const loaded = await load();
    await expect(reread(loaded)).rejects.toThrow(/^the service was started without a configuration file$/);
    expect(() => override(loaded, { port: 8081 })).toThrow(/^control.port: the gateway listens on 8081 already/);
  });

  it('in a program that throws, or in a file that is not there, is a sentence', async () => {
    write('broken.ts', 'export default {');
    await expect(load({}, 'broken.ts')).rejects.toThrow(/broken.ts: it cannot be run: /);
    write('throws.mjs', 'throw new Error("no such secret")');
    await expect(load({}, 'throws.mjs')).rejects.toThrow(/throws.mjs: it cannot be run: no such secret/);
    await expect(load({}, 'none.yaml')).rejects.toThrow(/none.yaml: this file does not exist/);
    await expect(load({}, 'none.ts')).rejects.toThrow(/none.ts: this file does not exist/);
    write('a.toml', '');
    await expect(load({}, 'a.toml')).rejects.toThrow(/expected a file that ends in/);
  });

  it.each([
    [
      'two cursors of one name',
      'pipelines: { a: { stream: s, group: g, sink: { type: postgres } }, b: { stream: s, group: g, sink: { type: postgres } } }',
      /pipelines.b.group: the pipeline a reads the stream s as the group g already/,
    ],
    [
      'a pipeline into its own stream',
      'pipelines: { a: { sink: { type: stream, stream: a } } }',
      /must not append to the stream that it reads/,
    ],
    [
      'a circle of streams',
      'pipelines: { y: { sink: { type: stream, stream: z } }, z: { branches: { b: { type: stream, stream: y } }, sink: { type: postgres } } }',
      /1:\d+: pipelines.z.branches.b.stream: it closes a circle of streams, in which events would never end: y → z → y$/,
    ],
    [
      'one port for both planes',
      'gateway: { port: 8081, host: localhost }',
      /control.port: the gateway listens on 8081 already; give one of them another port$/,
    ],
    [
      'one table for two outboxes',
      'outboxes: { a: { url: postgres://h/d }, b: { url: postgres://h/e }, c: {} }\ndatabase: postgres://h/d',
      /^sluice.config.yaml:1:\d+: outboxes.c: the outbox a relays the table outbox of this database already/,
    ],
    [
      'keys of one name',
      `keys: [{ id: a, tenant: t, hash: "sha256:${'0'.repeat(64)}" }, { id: a, tenant: t, hash: "sha256:${'1'.repeat(64)}" }]`,
      /keys\[1\].id: keys\[0\] is called a already/,
    ],
    [
      'one key for two tenants',
      `keys: [{ id: a, tenant: t, hash: "sha256:${'0'.repeat(64)}" }, { id: b, tenant: u, hash: "sha256:${'0'.repeat(64)}" }]`,
      /keys\[1\].hash: keys\[0\] is the same key already/,
    ],
    [
      'a public address without keys',
      'gateway: { host: 0.0.0.0 }',
      /gateway.host: 0.0.0.0 can be reached from other machines, and there are no keys/,
    ],
    [
      'a public control plane without an admin',
      'control: { host: 0.0.0.0 }',
      /control.host: .* needs a key with the scope admin/,
    ],
  ])('%s is refused', async (_name, text, expected) => {
    expect((await problems(text)).join('\n')).toMatch(expected);
  });

  it.each([
    'gateway: { port: 0 }\ncontrol: { port: 0 }',
    'gateway: { port: 8081, host: 127.0.0.2 }',
    'pipelines: { a: { sink: { type: stream, stream: b } }, b: { sink: { type: stream, stream: d } }, c: { stream: a, sink: { type: stream, stream: d } } }',
  ])('what only looks like one is none: %j', async (text) => {
    write('sluice.config.yaml', text);
    await load();
  });

  it('a public address without keys is allowed when it is said', async () => {
    write('sluice.config.yaml', 'gateway: { host: 0.0.0.0, publicWithoutKeys: true }');
    expect((await load()).config.gateway.host).toBe('0.0.0.0');
  });

  it('a name from the prototype of all objects is only a name', async () => {
    expect((await problems('{"constructor": 1}'))[0]).toMatch(/constructor: there is no such option/);
  });
});

describe('the environment', () => {
  it('is put in place of ${NAME}, with its default, and stands for a number where one is wanted', async () => {
    write(
      'sluice.config.yaml',
      'dataDir: /var/${NAME}/x\ngateway: { port: "${PORT}", publicWithoutKeys: "${OPEN:-true}", maxItems: "${N:-12}" }\n',
    );
    const { dataDir, gateway } = (await load({ NAME: '007', PORT: '9000' })).config;
    expect(dataDir).toBe('/var/007/x');
    expect(gateway).toMatchObject({ port: 9000, publicWithoutKeys: true, maxItems: 12 });
  });

  it('stays text where text is wanted, and $$ is a dollar', async () => {
    write('sluice.config.yaml', 'dataDir: "${N}"\npipelines: { a: { sink: { type: postgres, table: "t$${x}" } } }\n');
    const { dataDir, pipelines } = (await load({ N: '007' })).config;
    expect(dataDir).toBe('007');
    expect(pipelines.a!.sink).toMatchObject({ table: 't${x}' });
  });

  it('that lacks a variable is a mistake that names it', async () => {
    expect(await problems('dataDir: a\ndatabase: ${DB}\n')).toEqual([
      'sluice.config.yaml:2:1: database: the environment variable DB is not set; set it, or give a default as in ${DB:-value}',
    ]);
  });

  it('gives the database, unless the configuration does', async () => {
    expect((await load({ DATABASE_URL: 'postgres://a/b' })).config.database).toBe('postgres://a/b');
    write('sluice.config.yaml', 'database: postgres://c/d');
    expect((await load({ DATABASE_URL: 'postgres://a/b' })).config.database).toBe('postgres://c/d');
  });
});
