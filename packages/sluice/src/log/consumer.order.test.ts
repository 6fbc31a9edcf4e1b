/** Tests of order: by key always, strict where it is asked for, through retries, bisection and time-outs. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Sink } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { seededRandom } from '../env/seeded-random.js';
import { consumerWorld } from '../testing/consumer-world.js';
import type { LogRecord } from './record.js';

const bad = () => failure('bad row', { code: 'PG_22P02', class: 'permanent' });

describe('order by key', () => {
  it.each([true, false])('R-177: no key is ever reordered, whatever fails (atomic sink: %s)', async (atomic) => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 }), async (seed) => {
        const random = seededRandom(seed);
        const written: LogRecord[] = [];
        const isBad = (record: LogRecord) => record.offset % 11 === 7;
        const sink: Sink<LogRecord, undefined> = {
          idempotent: true,
          atomic,
          async write(records) {
            const chance = random.next();
            if (chance < 0.2) throw failure('down', { class: 'transient' });
            if (records.some(isBad)) throw bad();
            if (chance < 0.4 && !atomic) {
              return records.map((record) => {
                if (random.next() < 0.5) return failure('try later', { class: 'transient' });
                written.push(record);
                return undefined;
              });
            }
            written.push(...records);
            return undefined;
          },
        };
        const partitions = 1 + Math.floor(random.next() * 3);
        const world = await consumerWorld({
          sink,
          partitions,
          maxItems: 7,
          maxInFlight: 3,
          shards: 3,
          retry: { baseMs: 5, maxDelayMs: 20 },
        });
        await world.append(0, 120, (n) => ({ key: n % 5 === 4 ? null : `k${n % 7}` }));
        const consumer = await world.start();
        await world.env.clock.advance(20_000);
        expect(await consumer.lag()).toMatchObject({ items: 0 });
        const last = new Map<string, number>();
        for (const record of written) {
          if (record.key === null) continue;
          const n = Number(record.id.slice(1));
          expect(n).toBeGreaterThan(last.get(record.key) ?? -1);
          last.set(record.key, n);
        }
        expect(new Set(written.map((record) => record.id)).size).toBe(written.length);
        expect(written.length + world.log.letters.items).toBe(120);
        await world.drained(consumer);
      }),
      { numRuns: 25 },
    );
  });

  it('a key that is stuck holds up neither other keys nor records without one', async () => {
    const world = await consumerWorld({
      answer: (records) => {
        if (records.some((record) => record.key === 'stuck')) throw failure('locked', { class: 'transient' });
      },
      shards: 16,
    });
    await world.append(0, 60, (n) => ({ key: n % 3 === 0 ? 'stuck' : n % 3 === 1 ? `free ${n}` : null }));
    const consumer = await world.start();
    await world.env.clock.advance(5_000);
    const { tally } = consumer.status();
    // A shard may be shared with the key that is stuck, most are not.
    expect(tally.ok).toBeGreaterThan(30);
    await world.drained(consumer, 0);
  });
});

describe('strict order', () => {
  it("'deadLetter' writes the records of a partition in order, parks the bad ones and goes on", async () => {
    const world = await consumerWorld({
      strict: 'deadLetter',
      partitions: 2,
      answer: (records) => {
        if (records.some((record) => record.id === 'e7')) throw bad();
      },
    });
    await world.append(0, 20, (n) => ({ key: `k${n}` }));
    const consumer = await world.start();
    await world.env.clock.advance(5_000);
    for (const partition of [0, 1]) {
      const offsets = world.sink.calls.flatMap((call) => call.items).filter((record) => record.partition === partition);
      expect(offsets.map((record) => record.offset)).toEqual(offsets.map((_, offset) => offset));
    }
    // A sink that is not atomic gets one record a call: a part of a batch that fails would else be passed by the rest.
    expect(world.calls().every((call) => call.length === 1)).toBe(true);
    expect(world.log.letters.items).toBe(1);
    expect(await consumer.lag()).toMatchObject({ items: 0 });
    await world.drained(consumer);
  });

  it("'halt' writes nothing behind a record that fails for good, says so, parks nothing, and tries it again when it is resumed", async () => {
    let isMended = false;
    const written: string[] = [];
    const sink: Sink<LogRecord, undefined> = {
      atomic: true,
      idempotent: true,
      async write(records) {
        if (!isMended && records.some((record) => record.id === 'e37')) throw bad();
        written.push(...records.map((record) => record.id));
      },
    };
    const world = await consumerWorld({ strict: 'halt', sink, maxItems: 16 });
    await world.append(0, 100);
    const consumer = await world.start();
    await world.env.clock.advance(60_000);
    expect(written).toEqual(Array.from({ length: 37 }, (_, n) => `e${n}`));
    expect(consumer.status()).toMatchObject({
      partitions: [{ state: 'halted', cursor: 37 }],
      problem: { code: 'PG_22P02', message: expect.stringContaining('offset 37') },
    });
    expect(world.env.eventsOf('alarm')).toMatchObject([{ partition: 0, code: 'PG_22P02' }]);
    expect(world.log.letters.items).toBe(0);
    isMended = true;
    const resumed = consumer.resume();
    await world.env.clock.advance(1);
    await resumed;
    await world.env.clock.advance(1_000);
    expect(written).toEqual(Array.from({ length: 100 }, (_, n) => `e${n}`));
    expect(consumer.status().problem).toBeUndefined();
    await world.drained(consumer);
    expect(world.env.clock.timers).toBe(0);
  });

  it("'halt' passes a record when it is told to, and parks it then", async () => {
    const world = await consumerWorld({
      strict: 'halt',
      answer: (records) => {
        if (records.some((record) => record.id === 'e3')) throw bad();
      },
    });
    await world.append(0, 6);
    const consumer = await world.start();
    await world.env.clock.advance(1_000);
    const resumed = consumer.resume({ parkHalted: true });
    await world.env.clock.advance(100);
    await resumed;
    await world.env.clock.advance(1_000);
    expect(await consumer.lag()).toMatchObject({ items: 0 });
    expect((await world.log.letters.page()).letters.map((letter) => letter.record.id)).toEqual(['e3']);
    expect(consumer.status()).toMatchObject({ problem: undefined, partitions: [{ state: 'reading' }] });
    await world.drained(consumer);
  });

  it("'halt' sends nothing again that a sink has held back behind the bad record that it named itself", async () => {
    const written: string[] = [];
    const sink: Sink<LogRecord, unknown> = {
      atomic: true,
      idempotent: true,
      async write(records) {
        const at = records.findIndex((record) => record.id === 'e3');
        written.push(...records.slice(0, at === -1 ? undefined : at).map((record) => record.id));
        const heldBack = () => failure('not written: one before it is bad', { code: 'HALTED', class: 'rejected' });
        return records.map((_, i) => (at === -1 || i < at ? undefined : i === at ? bad() : heldBack()));
      },
    };
    const world = await consumerWorld({ strict: 'halt', sink, maxItems: 16 });
    await world.append(0, 8);
    const consumer = await world.start();
    await world.env.clock.advance(60_000);
    expect(written).toEqual(['e0', 'e1', 'e2']);
    expect(consumer.status().partitions).toMatchObject([{ state: 'halted', cursor: 3 }]);
    const resumed = consumer.resume({ parkHalted: true });
    await world.env.clock.advance(100);
    await resumed;
    await world.env.clock.advance(1_000);
    expect(written).toEqual(['e0', 'e1', 'e2', 'e4', 'e5', 'e6', 'e7']);
    await world.drained(consumer);
  });

  it("'halt' in one partition does not hold up the others", async () => {
    const world = await consumerWorld({
      strict: 'halt',
      partitions: 2,
      answer: (records) => {
        if (records.some((record) => record.partition === 0 && record.offset === 1)) throw bad();
      },
    });
    await world.append(0, 40, (n) => ({ key: `k${n}` }));
    const consumer = await world.start();
    await world.env.clock.advance(5_000);
    expect(consumer.status().partitions.map(({ state, cursor }) => [state, cursor])).toEqual([
      ['halted', 1],
      ['reading', (await world.log.lag('g', 'events'))[1]!.items === 0 ? consumer.status().partitions[1]!.cursor : -1],
    ]);
    await world.drained(consumer, 10);
  });
});
