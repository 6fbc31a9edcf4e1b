/** The options of the PostgreSQL sink: what is refused, and in which words. */

import { Pool } from 'pg';
import { describe, expect, test } from 'vitest';
import { type PostgresSinkOptions, postgresSink } from './index.js';

const good = {
  connectionString: 'postgres://127.0.0.1:1/none',
  table: 'events',
  columns: { id: { type: 'text', value: (item: string) => item } },
};

function sinkOf(changes: object): () => unknown {
  return () => postgresSink({ ...good, ...changes } as PostgresSinkOptions<string>);
}

describe('the options of postgresSink', () => {
  test('a good set makes a sink that connects to nothing yet', async () => {
    const sink = postgresSink(good);
    expect(sink).toMatchObject({ idempotent: false, atomic: true });
    await sink.close();
  });

  test.each([
    [{ tabel: 'events' }, /did you mean table/],
    [{ connectionString: undefined }, /exactly one/],
    [{ pool: new Pool() }, /exactly one/],
    [{ connectionString: undefined, pool: new Pool(), maxConnections: 2 }, /set max where you make the pool/],
    [{ connectionString: undefined, pool: new Pool({ pipeline: true }) }, /pipeline/],
    [{ maxConnections: 0 }, /maxConnections must be a whole number, 1 or more/],
    [{ table: 'a.b.c' }, /schema\.table/],
    [{ table: 7 }, /must be text/],
    [{ columns: {} }, /at least one column/],
    [{ columns: ['id', 'id'] }, /names "id" twice/],
    [{ columns: [7] }, /must hold names/],
    [{ columns: { id: { value: 7 } } }, /must be a function/],
    [{ columns: { id: 'id' } }, /needs an object/],
    [{ columns: { id: { type: 'text', valeu: () => '' } } }, /did you mean value/],
    [{ columns: { id: { type: 'text); DROP TABLE x; --', value: () => '' } } }, /name of a type/],
    [{ columns: { id: { type: 'text', value: 'id' } } }, /must be a function/],
    [{ conflict: { columns: ['key'], action: 'ignore' } }, /not among columns: id/],
    [{ conflict: { columns: [], action: 'ignore' } }, /unique key/],
    [{ conflict: { columns: ['id'], action: 'replace' } }, /must be 'ignore' or 'update'/],
    [{ conflict: { columns: ['id'], action: 'update', set: ['kee'] } }, /set names "kee", which is not among columns: id/],
    [{ conflict: { columns: ['id'], action: 'ignore', set: ['id'] } }, /is for the action 'update'/],
    [{ copyAboveRows: -1 }, /copyAboveRows must be a number, 0 or more \(Infinity allowed\)/],
    [{ maxRowBytes: 0 }, /maxRowBytes must be a whole number, 1 or more/],
    [{ badRows: 'drop' }, /must be 'isolate', 'halt' or 'refuse'/],
    [{ beforeCommit: 'sql' }, /must be a function/],
    [{ createTable: ' ' }, /must be SQL text/],
  ])('%j is refused', (changes, message) => {
    expect(sinkOf(changes)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringMatching(message) }));
  });

  test.each([
    'text',
    'TIMESTAMPTZ',
    'numeric(12, 2)',
    'int[]',
    'double precision',
    'timestamp(3) with time zone',
    'audit."my type"',
    'varchar(10)[]',
  ])('the type %s is taken', async (type) => {
    await postgresSink({ ...good, columns: { id: { type, value: (item: string) => item } } }).close();
  });
});
