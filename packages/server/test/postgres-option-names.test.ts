/** What a service says of a table that it cannot write to: in the words of its configuration, not of the library. */

import { expect, it } from 'vitest';
import { usePostgres } from './support/postgres.js';
import { query } from './support/query.js';
import { useRunning } from './support/running.js';

const postgres = usePostgres();
const world = useRunning();
const columns = { number: 'id' };

async function problemOf(sinks: { readonly sink: object; readonly [other: string]: unknown }): Promise<string> {
  const database = await postgres.freshDatabase();
  await query(database, 'CREATE TABLE keyless (number text)');
  const service = await world.startWith({ database, pipelines: { p: { ...sinks, window: { maxDelayMs: 5 } } } });
  expect(service.problems).toHaveLength(1);
  await fetch(`${service.url}/v1/streams/p/events`, {
    method: 'POST',
    body: '{"id":"1"}',
    headers: { 'content-type': 'application/json' },
  });
  const failing = async () => {
    const response = await fetch(`${service.controlUrl}/v1/pipelines/p`);
    return ((await response.json()) as { readonly failure?: { readonly message: string } }).failure?.message;
  };
  await expect.poll(failing).toBeDefined();
  const failure = (await failing())!;
  // Its drain would wait for the deadline.
  await service.stop(0);
  const problem = service.problems[0]!;
  expect(problem).not.toContain('postgresSink');
  // A write says the same as the start.
  expect(problem).toContain(failure.replace(/\.$/, ''));
  return problem;
}

it.each([
  [
    'missing',
    { createTable: false },
    'the table "missing" does not exist; create it, or set pipelines.p.sink.createTable to true',
  ],
  [
    'missing',
    { columns },
    'the table "missing" does not exist; create it, or give pipelines.p.sink.createTable the statement that does',
  ],
  [
    'missing',
    { columns, createTable: 'create table if not exists other (number text)' },
    'the table "missing" does not exist; create it, or mend the statement in pipelines.p.sink.createTable, which does not',
  ],
  [
    'missing',
    { columns, effectivelyOnce: true },
    'the table "missing" does not exist; create it, or give pipelines.p.sink.createTable the statement that does',
  ],
  [
    'keyless',
    { columns, conflict: { columns: ['number'] } },
    'the table keyless has no unique key on (number) for pipelines.p.sink.conflict; it has none at all',
  ],
])('a sink into the table %s with %j says what to write in the configuration', async (table, fields, sentence) => {
  expect(await problemOf({ sink: { type: 'postgres', table, ...fields } })).toContain(sentence);
});

it('a sink of a branch is named by its own place', async () => {
  const side = { type: 'postgres', table: 'missing', columns };
  const problem = await problemOf({ sink: { type: 'postgres' }, branches: { side }, branch: () => 'side' });
  expect(problem).toContain('or give pipelines.p.branches.side.createTable the statement that does');
});
