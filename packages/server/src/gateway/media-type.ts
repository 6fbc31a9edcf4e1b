/** What a request says of its body: format, charset, encoding. */

import { HttpError, unsupportedType } from './http-error.js';

/** How a body is cut into items. */
export type BodyFormat = 'json' | 'ndjson' | 'cloudevent' | 'cloudevents';

const formats: ReadonlyMap<string, BodyFormat> = new Map([
  ['application/json', 'json'],
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/jsonl', 'ndjson'],
  ['application/cloudevents+json', 'cloudevent'],
  ['application/cloudevents-batch+json', 'cloudevents'],
]);

/**
 * The format that a `content-type` names.
 *
 * @throws HttpError 415 when it is absent, another type, or a charset other than UTF-8.
 */
export function bodyFormat(contentType: string | undefined): BodyFormat {
  const plain = contentType === undefined ? undefined : formats.get(contentType);
  if (plain !== undefined) return plain;
  if (contentType === undefined || contentType.trim() === '') throw unsupportedType('no content-type');
  const [type = '', ...parameters] = contentType.split(';');
  const format = formats.get(type.trim().toLowerCase());
  if (format === undefined) throw unsupportedType(JSON.stringify(type.trim().slice(0, 100)));
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=');
    if (name.trim().toLowerCase() !== 'charset') continue;
    const charset = value
      .trim()
      .replace(/^"(.*)"$/, '$1')
      .toLowerCase();
    if (!['utf-8', 'utf8', 'us-ascii'].includes(charset))
      throw unsupportedType(`charset ${JSON.stringify(charset.slice(0, 40))}`);
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
