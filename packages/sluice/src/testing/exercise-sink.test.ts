/** Tests of exerciseSink: good sinks pass it, and each check finds the sink that breaks it. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { Sink, SinkContext } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { exerciseSink, type SinkUnderTest } from './exercise-sink.js';
import { scriptedSink } from './scripted-sink.js';

interface Row {
  readonly n: number;
  readonly bad?: true;
}

/** A table that takes a batch or nothing, each row once. */
function table() {
  const rows: number[] = [];
  let down = false;
  let stalls = false;
  let closed = false;
  const write = async (items: readonly Row[], { signal }: SinkContext): Promise<void> => {
    await Promise.resolve();
    if (closed) throw failure('closed', { code: 'CLOSED', class: 'rejected' });
    if (signal.aborted) throw failure('aborted', { class: 'transient' });
    if (stalls) await aborted(signal);
    if (down) throw failure('down', { class: 'transient' });
    if (items.some(({ bad }) => bad)) throw failure('a row is bad', { class: 'permanent' });
    for (const { n } of items) if (!rows.includes(n)) rows.push(n);
  };
  const sink: Sink<Row> = {
    atomic: true,
    idempotent: true,
    write,
    async close() {
      closed = true;
    },
  };
  const under: SinkUnderTest<Row> = {
    sink,
    item: (n) => ({ n }),
    badItem: (n) => ({ n, bad: true }),
    written: () => rows,
    async outage() {
      down = true;
      return () => {
        down = false;
      };
    },
    stall() {
      stalls = true;
    },
    dispose() {},
  };
  return { rows, sink, under };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(failure('aborted', { class: 'unknown' })), { once: true });
  });
}

exerciseSink('a table in memory passes exerciseSink', () => table().under, { describe, it });

exerciseSink(
  'the scripted sink passes exerciseSink',
  () => ({ sink: scriptedSink<number>({ answer: () => {} }), item: (n: number) => n, dispose() {} }),
  { describe, it },
);

exerciseSink('a sink over HTTP passes exerciseSink', openHttp, { describe, it }, { maxItems: 50 });

/** A sink that sends NDJSON to a server, which takes rows by their number and refuses the bad ones by their index. */
async function openHttp(): Promise<SinkUnderTest<Row, number>> {
  const rows = new Set<number>();
  let mode: 'up' | 'down' | 'stalls' = 'up';
  const server: Server = createServer(async (request, response) => {
    if (mode === 'stalls') return;
    let body = '';
    for await (const chunk of request) body += String(chunk);
    if (mode === 'down') return void response.writeHead(503, { 'retry-after': '1' }).end();
    const answers = (JSON.parse(body) as Row[]).map(({ n, bad }) => {
      if (bad !== true) rows.add(n);
      return bad === true ? null : n;
    });
    response.end(JSON.stringify(answers));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const sink: Sink<Row, number> = {
    idempotent: true,
    async write(items, { signal }) {
      const response = await fetch(url, { method: 'POST', body: JSON.stringify(items), signal });
      if (!response.ok) throw failure(`status ${response.status}`, { class: response.status >= 500 ? 'transient' : 'permanent' });
      const answers = (await response.json()) as (number | null)[];
      return answers.map((answer) => answer ?? failure('refused', { class: 'permanent' }));
    },
  };
  return {
    sink,
    item: (n) => ({ n }),
    badItem: (n) => ({ n, bad: true }),
    written: () => [...rows],
    async outage() {
      mode = 'down';
      return () => {
        mode = 'up';
      };
    },
    stall() {
      mode = 'stalls';
    },
    async dispose() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The sentences of the checks that a sink fails. */
async function failedChecks(open: () => SinkUnderTest<Row, unknown>): Promise<string[]> {
  const checks: [string, () => Promise<void>][] = [];
  exerciseSink(
    '',
    open,
    { describe: (_, fn) => fn(), it: (name, fn) => checks.push([name, fn]) },
    { maxItems: 30, patienceMs: 200 },
  );
  const failed: string[] = [];
  for (const [name, check] of checks) await check().catch(() => failed.push(name));
  return failed;
}

type Write = Sink<Row, unknown>['write'];

/** The table, with another way to write, or other claims. */
function brokenTable(change: (rows: number[], write: Write) => Partial<Sink<Row, unknown>>): () => SinkUnderTest<Row, unknown> {
  return () => {
    const { rows, sink, under } = table();
    return { ...under, sink: { ...sink, ...change(rows, sink.write as Write) } };
  };
}

const canaries: readonly [string, RegExp, () => SinkUnderTest<Row, unknown>][] = [
  ['one that takes nothing', /takes a batch of one/, brokenTable(() => ({ write: async () => {} }))],
  [
    'one that answers one entry too few',
    /one answer per item/,
    brokenTable((_, write) => ({
      write: async (items, context) => {
        await write(items, context);
        return items.slice(1).map(() => undefined);
      },
    })),
  ],
  [
    'one that loses the last item of a full batch',
    /takes a full batch/,
    brokenTable((_, write) => ({ write: (items, context) => write(items.slice(0, 29), context) })),
  ],
  [
    'one that changes its items',
    /leaves alone/,
    brokenTable((_, write) => ({
      write: (items, context) => {
        for (const item of items as { n: number; at?: number }[]) item.at = 1;
        return write(items, context);
      },
    })),
  ],
  [
    'one that throws a plain error for what is refused for good',
    /class that ends its retries/,
    brokenTable((_, write) => ({
      write: async (items, context) => {
        if (items.some(({ bad }) => bad)) throw new Error('bad');
        return write(items, context);
      },
    })),
  ],
  [
    'one that swallows what is refused',
    /class that ends its retries/,
    brokenTable((_, write) => ({
      write: (items, context) =>
        write(
          items.filter(({ bad }) => bad !== true),
          context,
        ),
    })),
  ],
  [
    'one that names the wrong item',
    /loses none of the good items/,
    brokenTable((_, write) => ({
      atomic: false,
      write: async (items, context) => {
        const bad = items.findIndex((item) => item.bad);
        if (bad === -1 || items.length === 1) return write(items, context);
        await write(
          items.filter((item) => !item.bad),
          context,
        );
        return items.map((_, i) => (i === 0 ? failure('bad') : undefined));
      },
    })),
  ],
  [
    'one that writes the good half and fails, without being idempotent',
    /writes none of them twice/,
    brokenTable((rows) => ({
      atomic: false,
      idempotent: false,
      write: async (items) => {
        for (const { n, bad } of items) {
          if (bad) throw failure('bad', { class: 'permanent' });
          rows.push(n);
        }
      },
    })),
  ],
  [
    'one that says atomic and writes up to the bad item',
    /where it says that it is atomic/,
    brokenTable((rows) => ({
      write: async (items) => {
        for (const { n, bad } of items) {
          if (bad) throw failure('bad', { class: 'permanent' });
          if (!rows.includes(n)) rows.push(n);
        }
      },
    })),
  ],
  [
    'one that says idempotent and writes twice',
    /where it says that it is idempotent/,
    brokenTable((rows) => ({
      write: async (items) => void rows.push(...items.map(({ n }) => n)),
    })),
  ],
  [
    'one that knows a batch by its id alone, and takes its part for another',
    /where it says that it is idempotent/,
    brokenTable((rows) => {
      const seen = new Set<string>();
      return {
        write: async (items, { batchId }) => {
          if (seen.has(batchId)) return;
          seen.add(batchId);
          rows.push(...items.map(({ n }) => n));
        },
      };
    }),
  ],
  [
    'one that says ok in an outage',
    /in a class that is tried again/,
    brokenTable((_, write) => ({ write: async (items, context) => Promise.resolve(write(items, context)).catch(() => {}) })),
  ],
  [
    'one that gives up for good in an outage',
    /in a class that is tried again/,
    brokenTable((_, write) => ({
      write: async (items, context) => {
        try {
          return await write(items, context);
        } catch (error) {
          throw failure(error as Error, { class: 'permanent' });
        }
      },
    })),
  ],
  [
    'one that says ok to an aborted call that it did not make',
    /aborted before it began/,
    brokenTable((_, write) => ({
      write: async (items, context) => (context.signal.aborted ? undefined : write(items, context)),
    })),
  ],
  [
    'one that does not listen to its signal',
    /aborted in the middle/,
    brokenTable((_, write) => ({
      write: (items, context) => write(items, { ...context, signal: new AbortController().signal }),
    })),
  ],
  [
    'one that mixes up calls that run at once',
    /calls that run at once/,
    brokenTable((_, write) => {
      let latest: readonly Row[] = [];
      return {
        write: async (items, context) => {
          latest = items;
          await new Promise((resolve) => setImmediate(resolve));
          return write(latest, context);
        },
      };
    }),
  ],
  [
    'one that fails a second call in a row',
    /settles each of its items once/,
    brokenTable((_, write) => {
      let calls = 0;
      return {
        write: async (items, context) => {
          if (++calls === 7) throw failure('odd', { class: 'permanent' });
          return write(items, context);
        },
      };
    }),
  ],
  [
    'one that cannot be closed twice',
    /twice as once/,
    brokenTable(() => {
      let closed = false;
      return {
        async close() {
          if (closed) throw failure('closed already');
          closed = true;
        },
      };
    }),
  ],
  ['one whose close never ends', /closes in time/, brokenTable(() => ({ close: () => new Promise(() => {}) }))],
];

describe('exerciseSink finds', () => {
  it.each(canaries)('%s', async (_, sentence, open) => {
    expect((await failedChecks(open)).join('\n')).toMatch(sentence);
  });

  it('nothing in a sink that keeps its word, each check by itself', async () => {
    expect(await failedChecks(() => table().under)).toEqual([]);
  });
});
