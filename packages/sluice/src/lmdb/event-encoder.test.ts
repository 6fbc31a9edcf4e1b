import { describe, expect, it } from 'vitest';
import type { NewEvent } from '../log/record.js';
import { createEventEncoder, ownBuffer } from './event-encoder.js';
import { decodeRecord, type EncodedEvents, encodeEvents } from './records.js';

describe('the encoder of appends', () => {
  it('lays small appends side by side in one block, and each reads as if it were alone', () => {
    const encode = createEventEncoder();
    const appends = Array.from({ length: 2_000 }, (_, i) =>
      Array.from({ length: 1 + (i % 3) }, (_, j) => event(`${i}-${j}-ä`, i % 90)),
    );
    const encoded = appends.map((events) => encode(events));
    expect(encoded.map(bytesOf)).toEqual(appends.map((events) => bytesOf(encodeEvents(events))));
    expect(new Set(encoded.map(({ bytes }) => bytes)).size).toBeLessThan(10);
    const joints = encoded.filter((each, i) => i > 0 && each.bytes === encoded[i - 1]!.bytes);
    expect(joints.every((each) => encoded[encoded.indexOf(each) - 1]!.starts.at(-1) === each.starts[0])).toBe(true);
  });

  it('gives an append that is large a buffer of its own', () => {
    const encode = createEventEncoder();
    const before = encode([event('a', 10)]);
    const large = encode([event('large', 1 << 20)]);
    const after = encode([event('b', 10)]);
    expect(large.bytes.length).toBeLessThan((1 << 20) + 100);
    expect(after.bytes).toBe(before.bytes);
    expect(idsOf(large)).toEqual(['large']);
  });

  it('keeps both, when a getter of an event encodes another one meanwhile', () => {
    const encode = createEventEncoder();
    let inner: EncodedEvents | undefined;
    const outer = encode([
      event('first', 50),
      {
        ...event('second', 50),
        get receivedAt() {
          inner = encode([event('inner', 70)]);
          return 7;
        },
      },
    ]);
    const next = encode([event('next', 50)]);
    expect([idsOf(outer), idsOf(inner!), idsOf(next)]).toEqual([['first', 'second'], ['inner'], ['next']]);
    expect(bytesOf(inner!)).toEqual(bytesOf(encodeEvents([event('inner', 70)])));
  });

  it('copies what is to be held for long out of the block', () => {
    const encode = createEventEncoder();
    encode([event('neighbour', 100)]);
    const own = ownBuffer(encode([event('a', 20), event('b', 30)]));
    expect(idsOf(own)).toEqual(['a', 'b']);
    expect(own.bytes.length).toBe(own.starts.at(-1));
  });

  function event(id: string, payloadBytes: number): NewEvent {
    return { id, tenant: '_', time: null, receivedAt: 1, payload: Buffer.alloc(payloadBytes, id) };
  }

  function bytesOf({ bytes, starts }: EncodedEvents): string {
    return bytes.toString('hex', starts[0], starts.at(-1));
  }

  function idsOf({ bytes, starts }: EncodedEvents): string[] {
    return starts.slice(0, -1).map((start) => decodeRecord(bytes, start, 's', 0, 0).id);
  }
});
