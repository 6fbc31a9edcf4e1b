import { describe, expect, it } from 'vitest';
import { failure } from '../core/errors.js';
import { consumerWorld } from '../testing/consumer-world.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import type { LogRecord } from './record.js';
import { redriveLetters } from './redrive.js';

/** A world in which every record with an even number has died, and the sink has been mended since. */
async function deadWorld(count = 10) {
  let isMended = false;
  const world = await consumerWorld({
    answer: (records) =>
      isMended
        ? undefined
        : records.map((record) => (Number(record.id.slice(1)) % 2 === 0 ? failure('bad row', { code: 'PG_22P02' }) : undefined)),
  });
  await world.log.createGroup('keeper', 'events');
  await world.append(0, count, (n) => ({ key: `k${n % 3}`, receivedAt: n }));
  const consumer = await world.start();
  await world.env.clock.advance(200);
  expect(world.log.letters.items).toBe(count / 2);
  isMended = true;
  const before = world.sink.calls.length;
  const again = () => world.sink.calls.slice(before).flatMap((call) => call.items);
  return { ...world, consumer, again, breakAgain: () => (isMended = false) };
}

const even = (count: number) => Array.from({ length: count / 2 }, (_, i) => `e${2 * i}`);

describe('redriveLetters', () => {
  it('R-117: appends what is parked again, in order, with its id, key, times and bytes, then marks it', async () => {
    const world = await deadWorld();
    const job = redriveLetters(world.log, { env: world.env });
    expect(job.progress().state).toBe('running');
    await world.env.clock.advance(1_000);
    expect(await job.done).toEqual({ state: 'done', matched: 5, redriven: 5, duplicates: 0, left: 0 });
    const again = [...world.again()].sort((a, b) => a.offset - b.offset);
    expect(again.map((record) => record.id)).toEqual(even(10));
    expect(again[1]).toMatchObject({ key: 'k2', receivedAt: 2, redrive: { group: 'g' } });
    expect(new TextDecoder().decode(again[1]!.payload)).toBe('{"n":2}');
    const { letters } = await world.log.letters.page();
    expect(letters.map(({ state, redrives }) => [state, redrives])).toEqual(letters.map(() => ['redriven', 1]));
    await world.drained(world.consumer);
    expect(world.env.clock.timers).toBe(0);
  });

  it('a dry run counts, and sends nothing', async () => {
    const world = await deadWorld();
    const job = redriveLetters(world.log, { dryRun: true, filter: { code: 'PG_22P02' }, env: world.env });
    expect(await job.done).toEqual({ state: 'done', matched: 5, redriven: 0, duplicates: 0, left: 5 });
    expect(await redriveLetters(world.log, { dryRun: true, filter: { code: 'OTHER' }, env: world.env }).done).toMatchObject({
      matched: 0,
    });
    expect(world.again()).toEqual([]);
    await world.drained(world.consumer);
  });

  it('sends no more than the limit, and later the rest', async () => {
    const world = await deadWorld();
    const first = redriveLetters(world.log, { limit: 2, env: world.env });
    await world.env.clock.advance(1_000);
    expect(await first.done).toMatchObject({ matched: 2, redriven: 2, left: 0 });
    const rest = redriveLetters(world.log, { env: world.env });
    await world.env.clock.advance(1_000);
    expect(await rest.done).toMatchObject({ matched: 3, redriven: 3 });
    expect(world.again().map((record) => record.id)).toEqual(even(10));
    await world.drained(world.consumer);
  });

  it('keeps its rate', async () => {
    const world = await deadWorld(200);
    const job = redriveLetters(world.log, { perSecond: 20, env: world.env });
    await world.env.clock.advance(2_000);
    expect(job.progress().redriven).toBeGreaterThanOrEqual(36);
    expect(job.progress().redriven).toBeLessThanOrEqual(42);
    job.cancel();
    await world.env.clock.advance(100);
    expect(await job.done).toMatchObject({ state: 'cancelled', matched: 100 });
    await world.drained(world.consumer);
  });

  it('cancelled at any time, it loses nothing: what was not sent stays parked', async () => {
    for (let ms = 0; ms < 1_000; ms += 70) {
      const world = await deadWorld(40);
      const job = redriveLetters(world.log, { perSecond: 30, env: world.env });
      await world.env.clock.advance(ms);
      job.cancel();
      await world.env.clock.advance(1_000);
      const { matched, redriven, left, state } = await job.done;
      expect({ matched, sum: redriven + left, state }).toEqual({ matched: 20, sum: 20, state: left > 0 ? 'cancelled' : 'done' });
      const letters = (await world.log.letters.page({ limit: 100 })).letters;
      expect(letters.filter((letter) => letter.state === 'parked')).toHaveLength(left);
      expect(world.again()).toHaveLength(redriven);
      await world.drained(world.consumer);
    }
  });

  it('dies between append and mark: the next redrive knows what was sent, and sends it no second time', async () => {
    const world = await deadWorld();
    const crashed = Object.assign(Object.create(world.log), {
      letters: Object.assign(Object.create(world.log.letters), { markRedriven: () => new Promise(() => {}) }),
    });
    const first = redriveLetters(crashed, { batchItems: 3, env: world.env });
    await world.env.clock.advance(1_000);
    expect(first.progress()).toMatchObject({ state: 'running', redriven: 0 });
    const second = redriveLetters(world.log, { env: world.env });
    await world.env.clock.advance(1_000);
    expect(await second.done).toEqual({ state: 'done', matched: 5, redriven: 2, duplicates: 3, left: 0 });
    expect(
      world
        .again()
        .map((record) => record.id)
        .sort(),
    ).toEqual(even(10));
    await world.drained(world.consumer);
  });

  it('what dies again has a letter of its own, and may be redriven again; a marked letter too, if it is asked for', async () => {
    const world = await deadWorld(2);
    world.breakAgain();
    for (let round = 1; round <= 3; round++) {
      const job = redriveLetters(world.log, { env: world.env });
      await world.env.clock.advance(1_000);
      expect(await job.done).toMatchObject({ matched: 1, redriven: 1 });
      expect(world.again()).toHaveLength(round);
    }
    const letters = (await world.log.letters.page()).letters;
    expect(letters.map(({ state }) => state)).toEqual(['redriven', 'redriven', 'redriven', 'parked']);
    const once = redriveLetters(world.log, { filter: { state: 'redriven', ids: [letters[0]!.id] }, env: world.env });
    await world.env.clock.advance(1_000);
    expect(await once.done).toMatchObject({ matched: 1, redriven: 1, duplicates: 0 });
    expect(world.again()).toHaveLength(4);
    await world.drained(world.consumer);
  });

  it('other groups of the stream pass a redrive over: they have had the record', async () => {
    const world = await deadWorld();
    const other = scriptedSink<LogRecord, undefined>({ idempotent: true, answer: () => undefined });
    const bystander = await world.start({ group: 'keeper', sink: other });
    await world.env.clock.advance(200);
    expect(other.calls.flatMap((call) => call.items)).toHaveLength(10);
    const job = redriveLetters(world.log, { env: world.env });
    await world.env.clock.advance(1_000);
    await job.done;
    expect(world.again()).toHaveLength(5);
    expect(other.calls.flatMap((call) => call.items)).toHaveLength(10);
    expect(await bystander.lag()).toMatchObject({ items: 0 });
    await world.drained(world.consumer);
    await world.drained(bystander);
  });

  it('sends the letters that are named, in whatever order they are named, in the order of their offsets', async () => {
    const world = await deadWorld();
    const ids = (await world.log.letters.page()).letters.map(({ id }) => id).reverse();
    const job = redriveLetters(world.log, { filter: { ids: [...ids, ids[0]!] }, batchItems: 1, env: world.env });
    await world.env.clock.advance(1_000);
    expect(await job.done).toEqual({ state: 'done', matched: 5, redriven: 5, duplicates: 0, left: 0 });
    const again = [...world.again()].sort((a, b) => a.offset - b.offset);
    expect(again.map((record) => record.id)).toEqual(even(10));
    await world.drained(world.consumer);
  });

  it('R-97: goes to another stream when it is told', async () => {
    const world = await deadWorld();
    const job = redriveLetters(world.log, { target: 'mended', env: world.env });
    await world.env.clock.advance(1_000);
    expect(await job.done).toMatchObject({ redriven: 5 });
    const records = await world.log.read('mended', 0, 0, { maxItems: 10, maxBytes: 1e6 });
    expect(records.map((record) => record.id)).toEqual(even(10));
    expect(world.again()).toEqual([]);
    await world.drained(world.consumer);
  });

  it('R-97: in another stream every group gets it, whatever its name is', async () => {
    const world = await deadWorld();
    const mender = scriptedSink<LogRecord, undefined>({ idempotent: true, answer: () => undefined });
    const other = await world.start({ stream: 'mended', group: 'mender', sink: mender });
    const job = redriveLetters(world.log, { target: 'mended', env: world.env });
    await world.env.clock.advance(1_000);
    await job.done;
    await world.env.clock.advance(1_000);
    expect(
      mender.calls
        .flatMap((call) => call.items)
        .map((record) => record.id)
        .sort(),
    ).toEqual(even(10));
    await world.drained(other);
    await world.drained(world.consumer);
  });

  it('says what the log fails with; the letters stay, and the same redrive may be started again', async () => {
    const world = await deadWorld();
    const full = Object.assign(Object.create(world.log), {
      append: () => Promise.reject(failure('no space left', { code: 'LOG_FULL', class: 'rejected' })),
    });
    const job = redriveLetters(full, { env: world.env });
    await world.env.clock.advance(1_000);
    await expect(job.done).rejects.toMatchObject({ code: 'LOG_FULL' });
    expect(job.progress()).toMatchObject({ state: 'failed', redriven: 0, left: 5 });
    const again = redriveLetters(world.log, { env: world.env });
    await world.env.clock.advance(1_000);
    expect(await again.done).toMatchObject({ redriven: 5 });
    await world.drained(world.consumer);
  });

  it('waits while the log holds all that it may', async () => {
    const world = await deadWorld();
    let refusals = 3;
    const busy = Object.assign(Object.create(world.log), {
      append: (...args: Parameters<typeof world.log.append>) =>
        refusals-- > 0 ? Promise.reject(failure('full', { code: 'OVERLOADED', class: 'rejected' })) : world.log.append(...args),
    });
    const job = redriveLetters(busy, { env: world.env });
    await world.env.clock.advance(1_000);
    expect(await job.done).toMatchObject({ redriven: 5 });
    await world.drained(world.consumer);
  });

  it('refuses options that it does not know', () => {
    expect(() => redriveLetters({} as never, { persecond: 5 } as never)).toThrow(/did you mean perSecond/);
    expect(() => redriveLetters({} as never, { perSecond: 0 })).toThrow(/perSecond/);
  });
});
