/** What becomes of the items of one request. */

import type { Log, NewEvent } from 'sluice/log';
import { expect, test } from 'vitest';
import { idSource } from './event-id.js';
import { defaultLimits } from './limits.js';
import { type Stored, type StoreOptions, store } from './receive.js';

const limits = { ...defaultLimits, maxItemBytes: 1024 * 1024 };

/** Stores items in a log that takes all, with `problemOf` as the schema of the stream. */
function stored(texts: readonly string[], problemOf: (index: number) => string | undefined = () => undefined) {
  const taken: (readonly NewEvent[])[] = [];
  const log = {
    append: async (_stream: string, events: readonly NewEvent[]) => {
      taken.push(events);
      return { level: 'durable', appended: events.map((_, offset) => ({ partition: 0, offset, duplicate: false })) };
    },
  } as unknown as Log;
  let index = 0;
  const schema = { latest: 1, problemOf: () => problemOf(index++) };
  const event = { idSource: idSource(undefined), tenant: '_', receivedAt: 1, limits, schema };
  const options: StoreOptions = { log, stream: 's', level: 'durable', event };
  const body = Buffer.from(texts.join(''));
  const items = texts.map((text, index) => {
    const start = texts.slice(0, index).join('').length;
    return body.subarray(start, start + text.length);
  });
  const result = new Promise<Stored>((onStored, onNotStored) => store(items, body, options, { onStored, onNotStored }));
  return { taken, result };
}

const large = (id: number) => JSON.stringify({ id, pad: 'x'.repeat(300_000) });

test('what is refused keeps its index, and the events their order, over as many turns as the request takes', async () => {
  const { taken, result } = stored(['{"id":"0"}', '[]', large(2), '{', large(4), '{"id":"5"}']);
  const { receipt, appended, indexes } = await result;
  expect(taken.map((events) => events.map(({ id }) => id))).toEqual([['0', '2', '4', '5']]);
  expect(indexes).toEqual([0, 2, 4, 5]);
  expect(appended).toHaveLength(4);
  expect(receipt).toMatchObject({ accepted: 4, rejected: 2, errors: [{ index: 1 }, { index: 3 }] });
});

test('of ids that were made, the receipt tells all, and null for what was refused', async () => {
  const { taken, result } = stored(['{"id":"0"}', '{}', '[]', '{"id":"3"}']);
  const { receipt } = await result;
  expect(receipt.ids).toEqual(['0', taken[0]![1]!.id, null, '3']);
});

test('without refusals there are no indexes, and the ids are those of the events', async () => {
  const { taken, result } = stored(['{}', '{"id":"1"}']);
  const { receipt, indexes } = await result;
  expect(indexes).toBeUndefined();
  expect(receipt).toMatchObject({ rejected: 0, errors: [], ids: [taken[0]![0]!.id, '1'] });
});

test.each([0, 2])('a schema that throws at item %i fails the request, and not the process', async (at) => {
  const { taken, result } = stored([large(0), large(1), large(2)], (index) => {
    if (index === at) throw new RangeError('a bug of the schema');
    return undefined;
  });
  await expect(result).rejects.toThrow('a bug of the schema');
  expect(taken).toEqual([]);
});
