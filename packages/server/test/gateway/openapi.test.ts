import { validate } from '@readme/openapi-parser';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { failure } from 'sluice';
import { expect, test } from 'vitest';
import { type Answer, start } from './world.js';

const failed = failure('down', { code: 'UPSTREAM', class: 'transient' });
const read = async (keys: readonly string[]) =>
  new Map(keys.filter((key) => key !== 'absent').map((key) => [key, key === 'broken' ? failed : 1]));
const long = 'x'.repeat(9_000);

test('the document is valid OpenAPI 3.1', async () => {
  const { origin } = await start({ read });
  const response = await fetch(`${origin}/openapi.json`);
  expect(response.headers.get('content-type')).toMatch(/^application\/json/);
  const result = await validate((await response.json()) as never);
  expect(result).toMatchObject({ valid: true });
});

test('every operation answers with a status and a body that the document has', async () => {
  const { origin } = await start({ read });
  const document = (await (await fetch(`${origin}/openapi.json`)).json()) as Answer;
  const ajv = new Ajv2020({ strict: false, schemas: [{ $id: 'api', components: document.components }] });
  const events = '/v1/streams/orders/events';
  const asked: [string, string, string, RequestInit?][] = [
    [
      '/v1/streams/{stream}/events',
      'post',
      events,
      { method: 'POST', body: '{"id":1}', headers: { 'content-type': 'application/json' } },
    ],
    [
      '/v1/streams/{stream}/events',
      'post',
      `${events}?ack=accepted`,
      { method: 'POST', body: '{}\n{}', headers: { 'content-type': 'application/x-ndjson' } },
    ],
    [
      '/v1/streams/{stream}/events',
      'post',
      events,
      { method: 'POST', body: '{}\n[]', headers: { 'content-type': 'application/x-ndjson' } },
    ],
    [
      '/v1/streams/{stream}/events',
      'post',
      events,
      { method: 'POST', body: '[]', headers: { 'content-type': 'application/json' } },
    ],
    [
      '/v1/streams/{stream}/events',
      'post',
      `${events}?ack=committed`,
      { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } },
    ],
    ['/v1/streams/{stream}/events', 'post', events, { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } }],
    ['/v1/streams/{stream}/events', 'get', '/v1/streams/none/events'],
    ['/read', 'get', '/read?keys=a,b'],
    ['/read', 'get', '/read?keys=a&partial=true'],
    ['/read', 'get', '/read?keys=a,broken&partial=true'],
    ['/read', 'get', '/read?keys=a,broken'],
    ['/read', 'get', '/read'],
    ['/read', 'post', '/read', { method: 'POST', body: '["a"]', headers: { 'content-type': 'application/json' } }],
    ['/read', 'post', '/read', { method: 'POST', body: '{"keys":["a"]}', headers: { 'content-type': 'application/json' } }],
    ['/key/{key}', 'get', '/key/a'],
    ['/key/{key}', 'get', '/key/absent'],
    ['/healthz', 'get', '/healthz'],
    ['/readyz', 'get', '/readyz'],
    ['/v1/streams/{stream}/events', 'get', `${events}?${long}`],
    ['/read', 'get', `/read?keys=${long}`],
    ['/key/{key}', 'get', `/key/${long}`],
    ['/healthz', 'get', `/healthz?${long}`],
    ['/readyz', 'get', `/readyz?${long}`],
  ];
  for (const [path, method, url, init] of asked) {
    const response = await fetch(origin + url, init);
    const operation = document.paths[path][method];
    const described = operation.responses[response.status];
    expect(described, `${method} ${url} answered ${response.status}`).toBeDefined();
    const found = described.$ref === undefined ? described : document.components.responses[described.$ref.split('/').at(-1)];
    const schema = JSON.parse(JSON.stringify(found.content['application/json'].schema).replaceAll('"#/', '"api#/'));
    const body = await response.json();
    expect(ajv.validate(schema, body), `${method} ${url}: ${JSON.stringify(body)}: ${ajv.errorsText()}`).toBe(true);
  }
  const described = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations as object)
      .filter((name) => name !== 'parameters')
      .map((method) => `${method} ${path}`),
  );
  expect(new Set(asked.map(([path, method]) => `${method} ${path}`))).toEqual(new Set(described));
});
