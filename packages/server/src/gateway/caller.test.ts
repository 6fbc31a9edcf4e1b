import { systemEnv } from 'sluice';
import { createMemoryLog } from 'sluice/log';
import { afterEach, describe, expect, it } from 'vitest';
import type { Config } from '../config/config.js';
import { createAdmission } from './admission.js';
import { createCallers, makeKey } from './caller.js';
import { createGateway, type Gateway } from './gateway.js';

type Key = Config['keys'][number];
const made = (id: string, tenant: string, scopes: Key['scopes'] = ['write', 'read']) => {
  const { key, hash } = makeKey(id);
  return { key, config: { id, hash, tenant, scopes } };
};
const ann = made('ann', 'acme');
const bob = made('bob.2', 'bobs', ['read']);

describe('callers', () => {
  const callers = createCallers([ann.config, bob.config]);

  it('are told by their key, in either header', () => {
    expect(callers.of({ authorization: `Bearer ${ann.key}` }, 'write')).toMatchObject({ tenant: 'acme', keyId: 'ann' });
    expect(callers.of({ 'x-api-key': bob.key }, 'read')).toMatchObject({ tenant: 'bobs' });
  });

  it.each([
    {},
    { authorization: 'Bearer' },
    { authorization: `Basic ${ann.key}` },
    { authorization: `Bearer ${ann.key}x` },
    { 'x-api-key': 'slc_ann.' },
    { 'x-api-key': 'slc_nobody.abc' },
    { 'x-api-key': '' },
    { 'x-api-key': ann.config.hash },
  ])('%j is refused with 401', (headers) => {
    expect(() => callers.of(headers, 'read')).toThrow(expect.objectContaining({ status: 401, code: 'UNAUTHENTICATED' }));
  });

  it('may do only what their key allows', () => {
    expect(() => callers.of({ 'x-api-key': bob.key }, 'write')).toThrow(
      expect.objectContaining({ status: 403, message: 'the key bob.2 has not the scope write; it has read' }),
    );
  });

  it('a key that is taken away is known no more', () => {
    const changing = createCallers([ann.config]);
    changing.configure([bob.config]);
    expect(() => changing.of({ 'x-api-key': ann.key }, 'write')).toThrow(expect.objectContaining({ status: 401 }));
  });

  it('a key is never kept, and no two are alike', () => {
    expect(ann.config.hash).not.toContain(ann.key.slice(4));
    expect(makeKey('a').key).not.toBe(makeKey('a').key);
  });
});

describe('the gateway', () => {
  let gateway: Gateway | undefined;
  afterEach(() => gateway?.close());

  it('stores events under the tenant of the key, and answers 401, 403 and 429 with Retry-After', async () => {
    const log = createMemoryLog();
    const callers = createCallers([ann.config, bob.config]);
    const admission = createAdmission({
      tenants: { acme: { share: 1, maxRequests: 10, maxHeldItems: 10, itemsPerSecond: 1, burst: 1 } },
      maxHeldItems: 1_000,
      clock: systemEnv().clock,
    });
    gateway = await createGateway({ log, port: 0, callers, admission });
    const url = `http://127.0.0.1:${gateway.port}/v1/streams/s/events`;
    const post = async (key?: string) => {
      const response = await fetch(url, {
        method: 'POST',
        body: '[{"id":"a"},{"id":"b"},{"id":"c"}]',
        headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'x-api-key': key }) },
      });
      return {
        status: response.status,
        retryAfter: response.headers.get('retry-after'),
        body: (await response.json()) as { error?: { code: string } },
      };
    };
    expect(await post()).toMatchObject({ status: 401, body: { error: { code: 'UNAUTHENTICATED' } } });
    expect(await post(bob.key)).toMatchObject({ status: 403 });
    expect(await post(ann.key)).toMatchObject({ status: 200 });
    expect(await post(ann.key)).toMatchObject({ status: 429, retryAfter: '2', body: { error: { code: 'TENANT_LIMIT' } } });
    const records = await log.read('s', 0, 0, { maxItems: 10, maxBytes: 10_000 });
    expect(records.map(({ tenant }) => tenant)).toEqual(['acme', 'acme', 'acme']);
    expect((await fetch(`http://127.0.0.1:${gateway.port}/read?keys=a`)).status).toBe(401);
    expect((await fetch(`http://127.0.0.1:${gateway.port}/healthz`)).status).toBe(200);
  });
});
