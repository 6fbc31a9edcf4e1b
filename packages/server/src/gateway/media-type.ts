/** What a request says of its body: format, charset, encoding. */

import { HttpError } from './http-error.js';

/** How a body is cut into items. */
export type BodyFormat = 'json' | 'ndjson' | 'cloudevent' | 'cloudevents';

/** The bodies that a route takes. */
export interface TakenBodies {
  /** By their type. */
  readonly formats: ReadonlyMap<string, BodyFormat>;
  /** As a refusal names them. */
  readonly text: string;
}

/** Those of events. */
const eventBodies: TakenBodies = {
  formats: new Map([
    ['application/json', 'json'],
    ['application/x-ndjson', 'ndjson'],
    ['application/ndjson', 'ndjson'],
    ['application/jsonl', 'ndjson'],
    ['application/cloudevents+json', 'cloudevent'],
    ['application/cloudevents-batch+json', 'cloudevents'],
  ]),
  text: 'application/json (an object or an array), application/x-ndjson (one object a line), application/cloudevents+json or application/cloudevents-batch+json, in UTF-8',
};

/** Those of `POST /read`. */
export const keyBodies: TakenBodies = {
  formats: new Map([['application/json', 'json']]),
  text: 'application/json (an array of keys), in UTF-8',
};

/**
 * The format that a `content-type` names.
 *
 * @param taken what the route takes. Default: events.

 * @throws HttpError 415 when it is absent, another type, or a charset other than UTF-8.
 */
export function bodyFormat(contentType: string | undefined, taken: TakenBodies = eventBodies): BodyFormat {
  const { formats } = taken;
  const plain = contentType === undefined ? undefined : formats.get(contentType);
  if (plain !== undefined) return plain;
  if (contentType === undefined || contentType.trim() === '') throw unsupportedType(taken, 'no content-type');
  const [type = '', ...parameters] = contentType.split(';');
  const format = formats.get(type.trim().toLowerCase());
  if (format === undefined) throw unsupportedType(taken, JSON.stringify(type.trim().slice(0, 100)));
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=');
    if (name.trim().toLowerCase() !== 'charset') continue;
    const charset = value
      .trim()
      .replace(/^"(.*)"$/, '$1')
      .toLowerCase();
    if (!['utf-8', 'utf8', 'us-ascii'].includes(charset))
      throw unsupportedType(taken, `charset ${JSON.stringify(charset.slice(0, 40))}`);
  }
  return format;
}

/**
 * True when the body is compressed with gzip.
 *
 * @throws HttpError 415 for any other `content-encoding` than gzip and identity.
 */
export function isGzip(contentEncoding: string | undefined): boolean {
  const encoding = contentEncoding?.trim().toLowerCase() ?? '';
  if (encoding === '' || encoding === 'identity') return false;
  if (encoding === 'gzip' || encoding === 'x-gzip') return true;
  throw new HttpError(
    415,
    'UNSUPPORTED_ENCODING',
    `expected content-encoding gzip, or none; got ${JSON.stringify(encoding.slice(0, 40))}`,
    {
      'accept-encoding': 'gzip',
    },
  );
}

/** 415: what was sent, and what is taken. */
function unsupportedType({ text }: TakenBodies, got: string): HttpError {
  return new HttpError(415, 'UNSUPPORTED_TYPE', `expected ${text}; got ${got}`);
}
