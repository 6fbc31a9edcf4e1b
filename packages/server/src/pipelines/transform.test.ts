import { failure, type SinkContext } from 'sluice';
import type { LogRecord } from 'sluice/log';
import { describe, expect, it } from 'vitest';
import type { PipelineEvent } from '../config/pipeline-schema.js';
import type { PipelineSink } from './pipeline-sink.js';
import { type Transform, transformingSink } from './transform.js';

const record = (offset: number, data: unknown): LogRecord => ({
  ...{
    stream: 's',
    partition: 0,
    offset,
    id: `i${offset}`,
    tenant: '_',
    key: null,
    trace: null,
    redrive: null,
    time: null,
    receivedAt: 0,
  },
  payload: Buffer.from(JSON.stringify(data)),
});

/** A sink that keeps what it was given, and answers with `answer`. */
function keeping(answer: (json: readonly string[]) => unknown = () => undefined, traits: Partial<PipelineSink> = {}) {
  const batches: string[][] = [];
  const ids: string[] = [];
  const sink: PipelineSink = {
    ...traits,
    async write(events, context) {
      const json = events.map((event) => event.json);
      batches.push(json);
      ids.push(context.batchId);
      expect(context.entries).toHaveLength(events.length);
      return answer(json) as undefined;
    },
    prepare: async () => {},
    close: async () => {},
  };
  return { sink, batches, ids };
}

async function write(
  transform: Transform,
  data: readonly unknown[],
  main = keeping(),
  branches: Record<string, ReturnType<typeof keeping>> = {},
) {
  const sink = transformingSink(main.sink, new Map(Object.entries(branches).map(([name, one]) => [name, one.sink])), transform);
  const records = data.map((each, offset) => record(offset, each));
  const context = {
    batchId: 'b',
    entries: records.map((value) => ({ value })),
    signal: new AbortController().signal,
  } as unknown as SinkContext;
  const results = await sink.write(records, context);
  return (results ?? data.map(() => undefined)).map((result) => (result instanceof Error ? result.message : 'ok'));
}

describe('a transform', () => {
  it('that does nothing hands payloads on byte for byte', async () => {
    const main = keeping();
    const text = '{"a" : 1.0e2}';
    await transformingSink(main.sink, new Map(), {}).write([{ ...record(0, 0), payload: Buffer.from(text) }], {
      batchId: 'b',
      entries: [1],
    } as never);
    expect(main.batches).toEqual([[text]]);
  });

  it('leaves out what filter refuses and what map answers with undefined: both are settled', async () => {
    const main = keeping();
    const filter = (event: PipelineEvent) => event.data !== 1;
    const map = (event: PipelineEvent) => (event.data === 2 ? undefined : { n: event.data, id: event.id });
    expect(await write({ filter, map }, [0, 1, 2, 3], main)).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(main.batches).toEqual([['{"n":0,"id":"i0"}', '{"n":3,"id":"i3"}']]);
  });

  it('calls no sink when nothing is left', async () => {
    const main = keeping();
    expect(await write({ filter: () => false }, [1, 2], main)).toEqual(['ok', 'ok']);
    expect(main.batches).toEqual([]);
  });

  it('that throws fails that event alone', async () => {
    const main = keeping();
    const map = ({ data }: PipelineEvent) => (data as { a: { b: number } }).a.b;
    const [bad, good] = await write({ map }, [null, { a: { b: 7 } }], main);
    expect(bad).toMatch(/^the transform failed: Cannot read properties of null/);
    expect(good).toBe('ok');
    expect(main.batches).toEqual([['7']]);
    expect((await write({ map: async () => 1 }, [1]))[0]).toMatch(/map answers a promise/);
  });

  it('sends each event to its branch, and puts the outcomes together in order', async () => {
    const [main, odd] = [keeping(), keeping((json) => json.map((text) => (text === '3' ? failure('no threes') : undefined)))];
    const branch = ({ data }: PipelineEvent) => (data === 9 ? 'nowhere' : (data as number) % 2 === 1 ? 'odd' : undefined);
    expect(await write({ branch }, [1, 2, 3, 4, 9], main, { odd })).toEqual([
      'ok',
      'ok',
      'no threes',
      'ok',
      'the transform failed: branch answers "nowhere", which is not among branches',
    ]);
    expect([main.batches, odd.batches]).toEqual([[['2', '4']], [['1', '3']]]);
    expect([...main.ids, ...odd.ids]).toEqual(['b/main', 'b/odd']);
  });

  it('a branch that fails as a whole does not fail the others', async () => {
    const odd = keeping(() => {
      throw failure('down', { class: 'transient' });
    });
    const branch = ({ data }: PipelineEvent) => ((data as number) % 2 === 1 ? 'odd' : undefined);
    expect(await write({ branch }, [1, 2, 3], keeping(), { odd })).toEqual(['down', 'ok', 'down']);
  });

  it('a whole batch for one sink keeps what it throws', async () => {
    const main = keeping(() => {
      throw failure('blocked', { class: 'blocked' });
    });
    await expect(write({ map: ({ data }) => data }, [1, 2], main)).rejects.toMatchObject({ class: 'blocked' });
  });

  it('is idempotent where every sink is, and atomic only without branches', () => {
    const [yes, no] = [keeping(undefined, { idempotent: true, atomic: true }).sink, keeping().sink];
    expect(transformingSink(yes, new Map(), {})).toMatchObject({ idempotent: true, atomic: true });
    expect(transformingSink(yes, new Map([['x', yes]]), {})).toMatchObject({ idempotent: true, atomic: false });
    expect(transformingSink(yes, new Map([['x', no]]), {})).toMatchObject({ idempotent: false });
  });
});
