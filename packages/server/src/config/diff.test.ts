/** Tests of what a diff says of two configurations. */

import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { configSchema } from './config.js';
import { changesNothing, changeText, diffConfig } from './diff.js';

const config = (input: object) => configSchema.parse(input);
const texts = (from: object, to: object) => diffConfig(config(from), config(to)).map(changeText);
const sink = { type: 'file', dir: 'out' };

describe('a diff', () => {
  it('of equal configurations is empty', () => {
    const same = { pipelines: { p: { sink } }, keys: [{ id: 'a', tenant: 't', hash: `sha256:${'0'.repeat(64)}` }] };
    expect(texts(same, structuredClone(same))).toEqual([]);
  });

  it('says of functions and Zod schemas that they are taken anew, whether or not they look the same', () => {
    const of = (more: object) => ({
      streams: {
        p: {
          schemas: [
            { version: 1, schema: z.object({ id: z.string() }), upcast: './up.js#up' },
            { version: 2, schema: './s.json' },
          ],
        },
      },
      pipelines: { p: { sink: { type: 'module', handler: './take.js' }, ...more } },
    });
    const even = (event: { offset: number }) => event.offset % 2 === 0;
    expect(texts(of({ filter: even }), of({ filter: even }))).toEqual([
      '~ streams.p.schemas[0].schema: "a Zod schema", taken anew',
      '~ streams.p.schemas[0].upcast: "./up.js#up", taken anew',
      '~ pipelines.p.sink.handler: "./take.js", taken anew',
      '~ pipelines.p.filter: "the function even", taken anew',
    ]);
  });

  it('says of one that is another, or new, or gone, what it was and is', () => {
    const of = (more: object) => ({ pipelines: { p: { sink, ...more } } });
    expect(texts(of({ filter: './a.js' }), of({ filter: './b.js' }))).toEqual(['~ pipelines.p.filter: "./a.js" → "./b.js"']);
    expect(texts(of({}), of({ map: './b.js' }))).toEqual(['+ pipelines.p.map: "./b.js"']);
    expect(texts(of({ map: './b.js' }), of({}))).toEqual(['- pipelines.p.map: "./b.js"']);
  });

  it('goes into lists of the same length, and never shows a secret', () => {
    const of = (scopes: string[], digit: string) => ({
      keys: [{ id: 'a', tenant: 't', scopes, hash: `sha256:${digit.repeat(64)}` }],
      database: `postgres://me:secret${digit}@db/app`,
    });
    const lines = texts(of(['write'], '1'), of(['read'], '2'));
    expect(lines).toEqual([
      '~ database: "postgres://…@db/app" → "postgres://…@db/app"   (after a restart)',
      '~ keys[0].hash: "…" → "…"',
      '~ keys[0].scopes[0]: "write" → "read"',
    ]);
  });

  it('changes nothing where only code is taken anew whose text is the same', () => {
    const nothing = (from: object, to: object) => changesNothing(diffConfig(config(from), config(to)));
    const of = (filter: unknown) => ({ pipelines: { p: { sink, filter } } });
    const even = (event: { offset: number }) => event.offset % 2 === 0;
    const odd = (event: { offset: number }) => event.offset % 2 === 1;
    expect(nothing(of(even), of(even))).toBe(true);
    expect(nothing(of('./a.js'), of('./a.js'))).toBe(true);
    expect(nothing(of(even), of(odd))).toBe(false);
    expect(nothing(of('./a.js'), of('./b.js'))).toBe(false);
  });
});
