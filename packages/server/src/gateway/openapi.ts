/** OpenAPI: the description of the data plane that `GET /openapi.json` answers with, for clients and tools. */

import type { GatewayLimits } from './limits.js';
import { ackLevels } from './receipt.js';

const eventTypes = [
  'application/json',
  'application/x-ndjson',
  'application/cloudevents+json',
  'application/cloudevents-batch+json',
];

/** The document of a gateway with these bounds (OpenAPI 3.1). */
export function openApi(limits: GatewayLimits, version: string): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sluice data plane',
      version,
      license: { name: 'MIT', identifier: 'MIT' },
      description: 'Many small operations in, few large ones out. Every error is JSON: `{ "error": { "code", "message" } }`.',
    },
    servers: [{ url: '/' }],
    security: [{}, { bearer: [] }, { apiKey: [] }],
    paths: {
      '/v1/streams/{stream}/events': { parameters: [streamParameter], post: postEvents(limits), get: tailEvents() },
      '/read': { get: readByQuery(), post: readByBody() },
      '/key/{key}': { get: readKey() },
      '/healthz': { get: health('healthz', 'The process answers.') },
      '/readyz': {
        get: health(
          'readyz',
          'Every pipeline delivers and the log has room; 503 says why not. Events are taken all the same, unless the log is full.',
        ),
      },
    },
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' },
      },
      schemas: {
        Error: errorSchema,
        Receipt: receiptSchema,
        Values: { type: 'object', additionalProperties: { type: 'number' } },
        Partial: partialSchema,
      },
      responses: {
        Error: {
          description: 'What is wrong and what to do.',
          content: { 'application/json': { schema: ref('schemas/Error') } },
        },
        Busy: {
          description: 'Not now; nothing of the request was stored.',
          headers: {
            'retry-after': {
              description: 'Seconds, by the rate at which the service drains.',
              schema: { type: 'integer', minimum: 1 },
            },
          },
          content: { 'application/json': { schema: ref('schemas/Error') } },
        },
      },
    },
  };
}

const ref = (path: string) => ({ $ref: `#/components/${path}` });
const json = (schema: object) => ({ 'application/json': { schema } });

const streamParameter = {
  name: 'stream',
  in: 'path',
  required: true,
  description: 'Made when its first event comes.',
  schema: { type: 'string', pattern: '^(?!\\.{1,2}$)[A-Za-z0-9_.-]{1,128}$' },
};

const query = (name: string, description: string, schema: object) => ({
  name,
  in: 'query',
  required: false,
  description,
  schema,
});
const header = (name: string, description: string) => ({
  name,
  in: 'header',
  required: false,
  description,
  schema: { type: 'string' },
});

const errorSchema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message'],
      properties: { code: { type: 'string' }, message: { type: 'string' } },
    },
  },
};

const receiptSchema = {
  type: 'object',
  required: ['ack', 'accepted', 'duplicates', 'rejected', 'errors'],
  description: 'accepted + duplicates + rejected is the number of items.',
  properties: {
    ack: { type: 'string', enum: ackLevels, description: 'The level that every item outside `errors` has reached.' },
    accepted: { type: 'integer', minimum: 0 },
    duplicates: { type: 'integer', minimum: 0 },
    rejected: { type: 'integer', minimum: 0 },
    ids: { type: 'array', items: { type: ['string', 'null'] }, description: 'In input order, where some were made here.' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['index', 'code', 'message'],
        properties: {
          index: { type: 'integer' },
          code: { type: 'string' },
          message: { type: 'string' },
          letters: { type: 'array', items: { type: 'string' }, description: 'Of DEAD_LETTERED: ids of the dead letters.' },
        },
      },
    },
  },
};

const partialSchema = {
  type: 'object',
  required: ['values', 'errors'],
  properties: {
    values: ref('schemas/Values'),
    errors: { type: 'object', description: 'By key.', additionalProperties: errorSchema.properties.error },
  },
};

function postEvents(limits: GatewayLimits): object {
  const content = Object.fromEntries(
    eventTypes.map((type) => [
      type,
      { schema: type === 'application/json' ? { type: ['object', 'array'] } : type.endsWith('ndjson') ? { type: 'string' } : {} },
    ]),
  );
  const receipt = (description: string) => ({ description, content: json(ref('schemas/Receipt')) });
  return {
    operationId: 'postEvents',
    summary: 'Append events to a stream',
    description: `One object, an array, NDJSON, or CloudEvents 1.0; gzip is inflated. At most ${limits.maxItems} items and ${limits.maxBodyBytes} bytes. Sending the same ids, or the same Idempotency-Key, again adds nothing.`,
    parameters: [
      query('ack', 'Wait until the events are in memory, on disk, or taken by the pipelines.', {
        type: 'string',
        enum: ackLevels,
        default: 'durable',
      }),
      query('id', 'The field that holds the id of each event; `hash` makes ids of the content.', {
        type: 'string',
        default: 'id',
        minLength: 1,
      }),
      header('idempotency-key', 'Makes the same request again a duplicate though its items have no ids.'),
      header('traceparent', 'W3C trace context, kept with each event.'),
    ],
    requestBody: { required: true, content },
    responses: {
      200: receipt('All items have reached the level.'),
      202: receipt('Taken; the level was not reached in time, or only memory was asked for.'),
      207: receipt('Some items were refused, or died.'),
      400: {
        description: 'All items were refused, or the request is wrong.',
        content: json({ anyOf: [ref('schemas/Receipt'), ref('schemas/Error')] }),
      },
      ...errors(401, 403, 408, 413, 414, 415, 417, 431, 501, 505),
      429: ref('responses/Busy'),
      503: ref('responses/Busy'),
    },
  };
}

function tailEvents(): object {
  return {
    operationId: 'tailEvents',
    summary: 'Tail a stream as server-sent events',
    parameters: [
      query('from', '`start`, `end`, or an offset.', { type: 'string', default: 'end' }),
      query('partition', 'One partition only.', { type: 'string', pattern: '^\\d+$' }),
      header('last-event-id', 'Go on behind this event.'),
    ],
    responses: {
      200: { description: 'Until the client leaves.', content: { 'text/event-stream': { schema: { type: 'string' } } } },
      ...errors(400, 401, 403, 404, 414),
      503: ref('responses/Busy'),
    },
  };
}

const partial = query('partial', 'Answer `values` and `errors`, so that keys which failed do not hide the others.', {
  type: 'boolean',
  default: false,
});

const values = {
  200: {
    description: 'What was found; absent keys do not exist. With `partial`: every key was looked up.',
    content: json({ anyOf: [ref('schemas/Values'), ref('schemas/Partial')] }),
  },
  207: { description: 'With `partial`: some keys failed.', content: json(ref('schemas/Partial')) },
};

const readErrors = { ...errors(400, 401, 403, 404, 413, 414, 415, 502, 504), 503: ref('responses/Busy') };

function readByQuery(): object {
  const keys = {
    name: 'keys',
    in: 'query',
    required: true,
    description: 'Keys with commas between.',
    style: 'form',
    explode: false,
    schema: { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1 },
  };
  return {
    operationId: 'read',
    summary: 'Read keys; the reads of all clients share calls',
    parameters: [keys, partial],
    responses: { ...values, ...readErrors },
  };
}

function readByBody(): object {
  const keys = { type: 'array', items: { type: 'string' }, minItems: 1 };
  const schema = { anyOf: [keys, { type: 'object', required: ['keys'], properties: { keys } }] };
  return {
    operationId: 'readMany',
    summary: 'Read a long list of keys',
    parameters: [partial],
    requestBody: { required: true, content: json(schema) },
    responses: { ...values, ...readErrors },
  };
}

function readKey(): object {
  const key = { name: 'key', in: 'path', required: true, schema: { type: 'string', minLength: 1 } };
  const found = { description: 'The key and its value.', content: json(ref('schemas/Values')) };
  const responses = { 200: found, ...errors(400, 401, 403, 404, 414, 502, 504), 503: ref('responses/Busy') };
  return { operationId: 'readKey', summary: 'Read one key', parameters: [key], responses };
}

function health(operationId: string, description: string): object {
  const content = json({ type: 'object', required: ['status'], properties: { status: { type: 'string' } } });
  return {
    operationId,
    summary: description,
    security: [{}],
    responses: { 200: { description: 'Well.', content }, ...errors(414), 503: { description: 'Not.', content } },
  };
}

function errors(...statuses: readonly number[]): Record<number, object> {
  return Object.fromEntries(statuses.map((status) => [status, ref('responses/Error')]));
}
