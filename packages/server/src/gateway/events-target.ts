/** Events target: what the URL of a request with events says: which stream, which level, where the ids are. */

import { type IdSource, idSource } from './event-id.js';
import { HttpError } from './http-error.js';
import { checkParameters } from './parameters.js';
import { type AckLevel, ackLevels } from './receipt.js';

/** What a request with events is for. */
export interface Target {
  readonly stream: string;
  readonly ack: AckLevel;
  readonly ids: IdSource;
}

/** Reads targets. */
export interface Targets {
  /**
   * The target of a URL for which {@link isEventsUrl} holds.
   *
   * @throws HttpError 400 for a name, a level or a field that cannot be.
   */
  of(url: string): Target;
}

/** URLs whose targets are remembered, and their longest. */
const maxKnown = 500;
const maxKnownUrl = 200;

/** Whether a URL is one of this route. */
export function isEventsUrl(url: string): boolean {
  return url.startsWith(prefix) && streamOf(url) !== undefined;
}

/** Remembers the targets of short URLs: the same few come again and again, and reading one costs as much as a small event does. */
export function createTargets(): Targets {
  const known = new Map<string, Target>();
  return {
    of(url) {
      const before = known.get(url);
      if (before !== undefined) return before;
      const found = target(url);
      if (known.size >= maxKnown) known.clear();
      if (url.length <= maxKnownUrl) known.set(url, found);
      return found;
    },
  };
}

const prefix = '/v1/streams/';
const suffix = '/events';

/** The stream of a URL as it is written there. */
function streamOf(url: string): string | undefined {
  const query = url.indexOf('?');
  const end = (query === -1 ? url.length : query) - suffix.length;
  if (end <= prefix.length || !url.startsWith(suffix, end)) return undefined;
  const stream = url.slice(prefix.length, end);
  return stream.includes('/') ? undefined : stream;
}

function target(url: string): Target {
  const stream = decoded(streamOf(url)!);
  // URL libraries take `.` and `..` out of a path: such a stream could be written and never found again.
  if (!/^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,128}$/.test(stream)) {
    throw new HttpError(
      400,
      'INVALID_STREAM',
      'expected a stream name of 1 to 128 letters, digits, dots, hyphens and underscores, other than . and ..',
    );
  }
  const query = url.indexOf('?');
  if (query === -1) return { stream, ack: 'durable', ids: idSource(undefined) };
  const parameters = new URLSearchParams(url.slice(query + 1));
  checkParameters(parameters.keys(), ['ack', 'id']);
  const ack = parameters.get('ack') ?? 'durable';
  if (!ackLevels.includes(ack as AckLevel)) {
    throw new HttpError(
      400,
      'INVALID_ACK',
      `expected ack to be one of ${ackLevels.join(', ')}; got ${JSON.stringify(ack.slice(0, 40))}`,
    );
  }
  const id = parameters.get('id') ?? undefined;
  if (id === '') throw new HttpError(400, 'INVALID_ID_FIELD', 'expected id to name a field, or to be hash; it is empty');
  return { stream, ack: ack as AckLevel, ids: idSource(id) };
}

function decoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new HttpError(400, 'INVALID_URL', 'the path of the URL is not valid percent-encoded UTF-8');
  }
}
