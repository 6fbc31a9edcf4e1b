/** Tests of what waits for a restart, over several changes in a row. */

import { expect, it } from 'vitest';
import { configSchema } from './config.js';
import { diffConfig } from './diff.js';
import { restartDue, whatRuns, withRestarts } from './restart.js';

const config = (input: object) => configSchema.parse(input);

/** Paths that wait for a restart after each of these configurations; the first is that of the start. */
function dueAfter(...inputs: readonly object[]): string[][] {
  const [started, ...nexts] = inputs.map(config);
  let runs = started!;
  return nexts.map((next) => {
    runs = whatRuns(runs, next);
    return restartDue(runs, next).map(({ path }) => path);
  });
}

it('is what differs from the start, however many changes came between', () => {
  const of = (port: number, maxItems: number) => ({ gateway: { port, maxItems } });
  expect(dueAfter(of(1, 1), of(2, 1), of(3, 2), of(1, 2))).toEqual([['gateway.port'], ['gateway.port'], []]);
});

it('is measured from when a part came: the partitions of a stream that a reload added', () => {
  const of = (streams: object) => ({ streams });
  expect(
    dueAfter(of({}), of({ s: { partitions: 2 } }), of({ s: { partitions: 4 } }), of({ s: { partitions: 2 } }), of({})),
  ).toEqual([[], ['streams.s.partitions'], [], []]);
});

it('goes with a part that is removed, and holds for a whole that is added', () => {
  const shop = (shards: number) => ({ outboxes: { shop: { url: 'postgres://db/shop', shards } } });
  expect(dueAfter({}, shop(2), shop(4), {})).toEqual([['outboxes.shop'], ['outboxes.shop'], []]);
  expect(dueAfter(shop(2), {}, shop(4))).toEqual([['outboxes.shop'], ['outboxes.shop.shards']]);
});

it('is not said of a change back to what runs, and is of one to something else', () => {
  const of = (shards: number) => config({ outboxes: { shop: { url: 'postgres://db/shop', shards } } });
  const [runs, current] = [of(2), of(4)];
  const marks = (next: ReturnType<typeof of>) =>
    withRestarts(diffConfig(current, next), restartDue(whatRuns(runs, next), next)).map(({ needsRestart }) => needsRestart);
  expect([marks(of(2)), marks(of(8)), marks(config({}))]).toEqual([[false], [true], [true]]);
});

it('leaves functions and schemas what they are', () => {
  const filter = () => true;
  const next = config({ pipelines: { p: { sink: { type: 'file', dir: 'out' }, filter } } });
  expect(whatRuns(config({}), next).pipelines.p?.filter).toBe(filter);
});
