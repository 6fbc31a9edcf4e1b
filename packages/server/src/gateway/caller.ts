/** Caller: who sends a request, by its API key. Keys are kept as hashes and compared in constant time. */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Config } from '../config/config.js';
import { HttpError } from './http-error.js';

type KeyConfig = Config['keys'][number];

/** What a key allows. */
export type Scope = KeyConfig['scopes'][number];

/** Who sends a request. */
export interface Caller {
  /** The id of the key; `undefined` where no keys are configured. */
  readonly keyId: string | undefined;
  readonly tenant: string;
  readonly scopes: readonly Scope[];
}

/** Tells callers by their keys. */
export interface Callers {
  /**
   * The caller of a request: `authorization: Bearer KEY`, or `x-api-key: KEY`.
   *
   * @throws HttpError 401 without a key that is known, 403 when it lacks the scope.
   */
  of(headers: IncomingHttpHeaders, scope: Scope): Caller;
  /** Takes other keys from now on. */
  configure(keys: readonly KeyConfig[]): void;
}

const everyone: Caller = { keyId: undefined, tenant: '_', scopes: ['write', 'read', 'admin'] };

/** Knows the callers of a configuration. Without keys everyone is the tenant `_` and may do everything. */
export function createCallers(keys: readonly KeyConfig[]): Callers {
  let known = byId(keys);
  return {
    of(headers, scope) {
      if (known.size === 0) return everyone;
      const caller = find(known, presentedKey(headers));
      if (caller === undefined) {
        throw new HttpError(
          401,
          'UNAUTHENTICATED',
          'send an API key that is known, as authorization: Bearer KEY or x-api-key: KEY',
          {
            'www-authenticate': 'Bearer realm="sluice"',
          },
        );
      }
      if (!caller.scopes.includes(scope))
        throw new HttpError(
          403,
          'FORBIDDEN',
          `the key ${caller.keyId} has not the scope ${scope}; it has ${caller.scopes.join(', ')}`,
        );
      return caller;
    },
    configure(keys) {
      known = byId(keys);
    },
  };
}

/** A new key and the hash to keep of it. The id stands in the key, so that it is found without comparing it to all. */
export function makeKey(id: string): { readonly key: string; readonly hash: string } {
  const key = `slc_${id}.${randomBytes(24).toString('base64url')}`;
  return { key, hash: `sha256:${digest(key).toString('hex')}` };
}

interface Known extends Caller {
  readonly hash: Buffer;
}

function byId(keys: readonly KeyConfig[]): ReadonlyMap<string, Known> {
  return new Map(
    keys.map(({ id, hash, tenant, scopes }) => [
      id,
      { keyId: id, tenant, scopes, hash: Buffer.from(hash.slice('sha256:'.length), 'hex') },
    ]),
  );
}

const noHash = Buffer.alloc(32);

function find(known: ReadonlyMap<string, Known>, key: string | undefined): Caller | undefined {
  const caller = known.get(/^slc_(.+)\.[^.]*$/.exec(key ?? '')?.[1] ?? '');
  // As long as for a key that exists: the time tells nothing.
  const equal = timingSafeEqual(digest(key ?? ''), caller?.hash ?? noHash);
  return equal ? caller : undefined;
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function presentedKey({ authorization, 'x-api-key': apiKey }: IncomingHttpHeaders): string | undefined {
  if (authorization !== undefined) return /^Bearer +(\S+)$/i.exec(authorization)?.[1];
  return typeof apiKey === 'string' ? apiKey : undefined;
}
