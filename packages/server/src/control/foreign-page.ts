/**
 * Foreign page: what a browser sends for a page of another site. A control plane on loopback asks for no key, and a browser on the same
 * machine reaches it: by a plain cross-site POST, or under a name that an attacker's DNS server gives this address (DNS rebinding).
 */

import type { IncomingHttpHeaders } from 'node:http';
import { isLoopback } from '../config/contradictions.js';
import { HttpError } from '../gateway/http-error.js';

/** What is known of a request to the control plane. */
export interface PageRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** Whether a key was asked for: no page has one, so that any name may be used then. */
  readonly hasKey: boolean;
}

/**
 * Refuses a request that a page of another site makes. No `Access-Control-…` header is ever sent either: such a page cannot read an answer.
 *
 * @param ownHost the address that the control plane was told to listen on.
 * @throws HttpError 421 `FOREIGN_HOST` for a name that is neither loopback nor `ownHost`, where no key is asked for; 403 `FOREIGN_ORIGIN`
 * for an `Origin` other than the one asked, or a cross-site request that is not a GET.
 */
export function refuseForeignPage({ method, headers, hasKey }: PageRequest, ownHost: string): void {
  const name = hostName(headers.host);
  if (!hasKey && headers.host !== undefined && name !== ownHost.toLowerCase() && !isLoopback(name))
    throw new HttpError(
      421,
      'FOREIGN_HOST',
      'expected the header Host to name this machine (localhost, 127.0.0.1, [::1]) or control.host: without keys no other name is answered',
    );
  const { origin } = headers;
  const site = headers['sec-fetch-site'];
  const crossSite = method !== 'GET' && method !== 'HEAD' && (site === 'cross-site' || site === 'same-site');
  if ((origin !== undefined && origin.replace(/^https?:\/\//, '') !== headers.host) || crossSite)
    throw new HttpError(403, 'FOREIGN_ORIGIN', 'a page of another site may not use the control plane');
}

/** The name in a `Host`, without its port and the brackets of IPv6. */
function hostName(host = ''): string {
  return host
    .toLowerCase()
    .replace(/:\d{1,5}$/, '')
    .replace(/^\[(.*)\]$/, '$1');
}
