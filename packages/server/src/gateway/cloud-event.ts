/** CloudEvents 1.0: what makes one valid, and one that came in headers as the envelope that is stored. */

import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import { HttpError } from './http-error.js';
import type { GatewayLimits } from './limits.js';
import { isTooDeep } from './text.js';

type Attributes = Readonly<Record<string, unknown>>;

/** What is wrong with the attributes of a CloudEvent (CloudEvents 1.0, section 3.1); `undefined` when nothing is. */
export function cloudEventProblem(event: Attributes): string | undefined {
  if (event.specversion !== '1.0') return `expected the attribute specversion to be "1.0"`;
  for (const name of ['id', 'source', 'type']) {
    if (typeof event[name] !== 'string' || event[name] === '')
      return `expected the attribute ${name} to be a string that is not empty`;
  }
  if ('data' in event && 'data_base64' in event) return 'expected data or data_base64, not both';
  return undefined;
}

/** What makes a CloudEvent unique: source and id together. */
export function cloudEventId({ source, id }: Attributes): string {
  return `${String(source)}#${String(id)}`;
}

/** Whether a request carries one CloudEvent in its headers (the binary mode of the HTTP binding). */
export function isBinaryCloudEvent(headers: IncomingHttpHeaders): boolean {
  return headers['ce-specversion'] !== undefined || headers['ce-id'] !== undefined;
}

/**
 * The envelope of a CloudEvent that came in headers: its attributes, and the body as `data` where it is JSON, as text where it is text,
 * else as `data_base64`.
 *
 * @throws HttpError 400 when a header is no attribute or no valid percent-encoding, or the body is not the JSON that its type says.
 */
export function envelopeOf(
  headers: IncomingHttpHeaders,
  body: Buffer,
  limits: Pick<GatewayLimits, 'maxItemBytes' | 'maxDepth'>,
): Buffer {
  const attributes: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('ce-') || typeof value !== 'string') continue;
    const attribute = name.slice('ce-'.length);
    if (!/^[a-z0-9]+$/.test(attribute) || attribute === 'data')
      throw invalid(`the header ${name.slice(0, 60)} names no attribute: those are lower-case letters and digits, and not data`);
    attributes[attribute] = decodedHeader(name, value);
  }
  const type = headers['content-type'];
  if (type !== undefined) attributes.datacontenttype = type;
  const head = JSON.stringify(attributes).slice(0, -1);
  if (body.length === 0) return Buffer.from(`${head}}`);
  const media = (type ?? 'application/json').split(';', 1)[0]!.trim().toLowerCase();
  if (media === 'application/json' || media.endsWith('+json')) {
    refuseUnlessJson(body, limits);
    return Buffer.concat([Buffer.from(`${head},"data":`), body, Buffer.from('}')]);
  }
  const member =
    media.startsWith('text/') && isUtf8(body)
      ? `"data":${JSON.stringify(body.toString('utf8'))}`
      : `"data_base64":"${body.toString('base64')}"`;
  return Buffer.from(`${head},${member}}`);
}

/** A body such as `1,"source":"another"` would put attributes beside its data. What is too large is refused with its envelope. */
function refuseUnlessJson(body: Buffer, { maxItemBytes, maxDepth }: Pick<GatewayLimits, 'maxItemBytes' | 'maxDepth'>): void {
  if (body.length > maxItemBytes) return;
  if (isTooDeep(body, maxDepth))
    throw new HttpError(400, 'TOO_DEEP', `objects and arrays are nested deeper than ${maxDepth} levels`);
  try {
    JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new HttpError(400, 'INVALID_JSON', `the data is not valid JSON: ${(error as Error).message.slice(0, 160)}`);
  }
}

function invalid(message: string): HttpError {
  return new HttpError(400, 'INVALID_CLOUDEVENT', message);
}

/** HTTP binding, section 3.1.3.2: values are percent-encoded UTF-8. */
function decodedHeader(name: string, value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw invalid(`the header ${name} is not valid percent-encoded UTF-8`);
  }
}
