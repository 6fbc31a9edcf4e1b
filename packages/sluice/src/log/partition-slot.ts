/** Partition slot: a partition that a consumer has, whether it is read at the moment or not; one change at a time. */

import type { PartitionReader, PartitionStatus } from './partition-contract.js';

/** A partition of a consumer. */
export interface PartitionSlot {
  /** Who reads it; `undefined` while it is paused, between two readers, or closed. */
  readonly reader: PartitionReader | undefined;
  status(): PartitionStatus;
  /** Stops the reader; the partition stays with this consumer. */
  pause(): Promise<void>;
  /** Reads it, with a new reader where there is one that cannot go on. */
  resume(): Promise<void>;
  /** Does something while nobody reads it. */
  between<T>(act: () => Promise<T>): Promise<T>;
  /** A seek has put its group there: so it stands until it is read again. */
  moved(cursor: number): void;
  /** Stops for good, at the deadline all the same. Idempotent. */
  close(deadlineMs: number): Promise<void>;
}

/**
 * @param open starts a reader.
 * @param handOverMs how long a reader may drain.
 */
export function createSlot(partition: number, open: () => PartitionReader, handOverMs: number, isPaused: boolean): PartitionSlot {
  let state: 'wanted' | 'paused' | 'closed' = isPaused ? 'paused' : 'wanted';
  let reader = isPaused ? undefined : open();
  let last: Promise<unknown> = Promise.resolve();
  let ended: PartitionStatus | undefined;

  /** After all changes before it. */
  function inTurn<T>(change: () => Promise<T>): Promise<T> {
    const changed = last.then(change);
    last = changed.catch(() => {});
    return changed;
  }

  async function stopReader(deadlineMs: number): Promise<void> {
    await reader?.stop(deadlineMs);
    ended = reader?.status() ?? ended;
    reader = undefined;
  }

  function openAgain(): void {
    if (state === 'wanted' && reader === undefined) reader = open();
  }

  return {
    get reader() {
      return reader;
    },
    status() {
      const status = reader?.status() ?? ended ?? unread(partition);
      return state === 'paused' && reader === undefined
        ? { ...status, state: 'paused', items: 0, aheadItems: 0, aheadBytes: 0 }
        : status;
    },
    pause() {
      if (state === 'wanted') state = 'paused';
      return inTurn(() => stopReader(handOverMs));
    },
    resume() {
      if (state === 'paused') state = 'wanted';
      return inTurn(async () => {
        if (reader?.state !== 'reading' && reader?.state !== 'starting') await stopReader(handOverMs);
        openAgain();
      });
    },
    between: (act) =>
      inTurn(async () => {
        await stopReader(handOverMs);
        try {
          return await act();
        } finally {
          openAgain();
        }
      }),
    moved(cursor) {
      ended = { ...(ended ?? unread(partition)), cursor, rangesAbove: 0 };
    },
    close(deadlineMs) {
      state = 'closed';
      // A change that is under way may drain for long: it gets this deadline too.
      void reader?.stop(deadlineMs);
      return inTurn(() => stopReader(deadlineMs));
    },
  };
}

function unread(partition: number): PartitionStatus {
  const none = { epoch: 0, cursor: 0, rangesAbove: 0, items: 0, aheadItems: 0, aheadBytes: 0, problem: undefined };
  return { partition, state: 'stopped', ...none };
}
