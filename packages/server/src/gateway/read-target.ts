/** Read target: which of the read routes a request is for. */

import type { IncomingMessage } from 'node:http';

/** A route; and the key that stands in the path, `undefined` where it is not valid percent-encoded UTF-8. */
export type ReadTarget =
  | { readonly route: '/read'; readonly by: 'query' | 'body' }
  | { readonly route: '/key/:key'; readonly by: 'path'; readonly key: string | undefined };

/** The target of a request; `undefined` when it is for none of these routes. */
export function readTarget({ method, url = '' }: IncomingMessage): ReadTarget | undefined {
  const gets = method === 'GET' || method === 'HEAD';
  if (!gets && method !== 'POST') return undefined;
  const pathEnd = url.search(/[?#]/);
  const path = pathEnd === -1 ? url : url.slice(0, pathEnd);
  const end = path.indexOf('/', 1);
  // Its letters may come percent-encoded, as in any path.
  const name = decoded(end === -1 ? path : path.slice(0, end));
  if (end === -1) return name !== '/read' ? undefined : gets ? byQuery : byBody;
  const key = path.slice(end + 1);
  if (name !== '/key' || !gets || key.includes('/')) return undefined;
  return { route: '/key/:key', by: 'path', key: decoded(key) };
}

const byQuery: ReadTarget = { route: '/read', by: 'query' };
const byBody: ReadTarget = { route: '/read', by: 'body' };

function decoded(text: string): string | undefined {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
