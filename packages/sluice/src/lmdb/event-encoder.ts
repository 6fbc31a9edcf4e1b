/** The encoder of appends: records of one append after the other side by side in blocks, so that a group is copied in few pieces. */

import type { NewEvent } from '../log/record.js';
import { type EncodedEvents, encodeEvents, mostBytes, writeRecord } from './records.js';

/** Encodes events that were checked before; they stay valid as long as anybody holds them. */
export type EventEncoder = (events: readonly NewEvent[]) => EncodedEvents;

// A buffer of its own for each small append costs more than its bytes do. Some hundred records a block; one that is held alone wastes the rest.
const blockBytes = 64 << 10;

/** An encoder with a block of its own. */
export function createEventEncoder(): EventEncoder {
  let block = Buffer.alloc(0);
  let free = 0;
  return (events) => {
    const most = mostBytes(events);
    if (most > blockBytes / 4) return encodeEvents(events);
    if (most > block.length - free) {
      block = Buffer.allocUnsafeSlow(blockBytes);
      free = 0;
    }
    const bytes = block;
    // An array that grows from one would leave room for sixteen.
    const starts = new Array<number>(events.length + 1);
    let at = free;
    starts[0] = at;
    // Taken first: an event is the caller's object, and a getter of it may append to the same log.
    const taken = free + most;
    free = taken;
    for (let i = 0; i < events.length; i++) {
      at = writeRecord(bytes, at, events[i]!);
      starts[i + 1] = at;
    }
    if (bytes === block && free === taken) free = at;
    return { bytes, starts };
  };
}

/** The same events in a buffer of their own: what is held for long must not hold on to its neighbours in the block. */
export function ownBuffer({ bytes, starts }: EncodedEvents): EncodedEvents {
  const from = starts[0]!;
  const own = Buffer.from(bytes.subarray(from, starts[starts.length - 1]));
  return { bytes: own, starts: starts.map((start) => start - from) };
}
