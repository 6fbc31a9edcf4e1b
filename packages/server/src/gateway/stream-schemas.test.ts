import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { configSchema } from '../config/config.js';
import { upcastOf } from '../pipelines/upcast.js';
import { compileSchemas } from './stream-schemas.js';

const object = {
  type: 'object',
  required: ['user'],
  properties: { user: { type: 'object', required: ['id'], properties: { id: { type: 'integer' } } } },
};

describe('R-183: the schemas of a stream', () => {
  it('say what does not fit and where, and never the value', async () => {
    const { problemOf } = await compileSchemas('s', [{ version: 1, schema: object }], '/');
    expect(problemOf({ user: { id: 7 } })).toBeUndefined();
    expect(problemOf({ user: { id: 'secret' } })).toBe('/user/id must be integer');
    expect(problemOf({})).toBe("the item must have required property 'user'");
  });

  it('go by the version that an item names, else by the highest', async () => {
    const versions = [
      { version: 1, schema: { required: ['a'] } },
      { version: 2, schema: { required: ['b'] } },
    ];
    const { latest, problemOf } = await compileSchemas('s', versions, '/');
    expect(latest).toBe(2);
    expect(problemOf({ a: 1, schemaVersion: 1 })).toBeUndefined();
    expect(problemOf({ a: 1 })).toMatch(/required property 'b'/);
    expect(problemOf({ schemaVersion: 9 })).toBe('there is no schema of version 9; there is 1, 2');
    const event = { specversion: '1.0', id: '1', source: 's', type: 't' };
    expect(problemOf({ ...event, dataschema: 'https://x/order/v1', data: { a: 1 } }, true)).toBeUndefined();
    expect(problemOf({ ...event, data: { a: 1 } }, true)).toMatch(/required property 'b'/);
  });

  it('may be files, formats and Zod schemas', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-schema-'));
    try {
      writeFileSync(join(folder, 's.json'), JSON.stringify({ properties: { at: { type: 'string', format: 'date-time' } } }));
      const file = await compileSchemas('s', [{ version: 1, schema: './s.json' }], folder);
      expect(file.problemOf({ at: 'yesterday' })).toBe('/at must match format "date-time"');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    // As a configuration passes it on.
    const { streams } = configSchema.parse({
      streams: { s: { schemas: [{ version: 1, schema: z.object({ n: z.number() }) }] } },
    });
    const zod = await compileSchemas('s', streams.s!.schemas!, '/');
    expect(zod.problemOf({ n: 1 })).toBeUndefined();
    expect(zod.problemOf({ n: 'x' })).toMatch(/^\/n Invalid input: expected number/);
  });

  it('that cannot be used are named', async () => {
    await expect(compileSchemas('s', [{ version: 1, schema: { type: 'nonsense' } }], '/')).rejects.toThrow(
      /^streams.s.schemas: version 1 cannot be used/,
    );
    await expect(compileSchemas('s', [{ version: 1, schema: './none.json' }], '/')).rejects.toThrow(
      /version 1 cannot be used: ENOENT/,
    );
    await expect(
      compileSchemas(
        's',
        [
          { version: 1, schema: {} },
          { version: 1, schema: {} },
        ],
        '/',
      ),
    ).rejects.toThrow(/version 1 is there twice/);
  });

  it('bring old items to the latest version, step by step', async () => {
    const { streams } = configSchema.parse({
      streams: {
        s: {
          schemas: [
            { version: 3, schema: {} },
            { version: 1, schema: {}, upcast: (item: unknown) => ({ ...(item as object), two: true }) },
            { version: 2, schema: {}, upcast: (item: unknown) => ({ ...(item as object), three: true }) },
          ],
        },
        plain: { schemas: [{ version: 1, schema: {} }] },
      },
    });
    const upcast = (await upcastOf('s', streams, '/'))!;
    expect(upcast({ schemaVersion: 1 })).toEqual({ schemaVersion: 1, two: true, three: true });
    expect(upcast({ schemaVersion: 2 })).toEqual({ schemaVersion: 2, three: true });
    const latest = { n: 1 };
    expect(upcast(latest)).toBe(latest);
    expect(await upcastOf('plain', streams, '/')).toBeUndefined();
  });
});
