/** Settler: gathers what became of records and moves the group in the log, one transaction at a time. */

import { asFailure, failure, type SluiceError } from '../core/errors.js';
import { type GroupPosition, type Log, onlyPartition, type Settlement } from './log.js';
import { createWatermark, type Watermark } from './watermark.js';

/** How a record ended: taken by the sink, or parked as a dead letter. */
export type SettledHow = 'ok' | 'dead';

/** Gathers settlements. While one transaction is written the next ones gather: group commit. */
export interface Settler {
  readonly watermark: Watermark;
  readonly counts: { readonly ok: number; readonly dead: number };
  settle(settlement: Settlement): void;
  /** Tells `fn` each time the position has moved. */
  onMoved(fn: () => void): void;
  settled(offset: number, signal: AbortSignal): Promise<SettledHow>;
  /** Resolves when everything gathered is written, and on disk. */
  idle(): Promise<void>;
  readonly failed: Promise<SluiceError>;
  fail(problem: SluiceError): void;
}

/** A settler that goes on from a stored position. */
export function createSettler(log: Log, group: string, stream: string, from: GroupPosition): Settler {
  const watermark = createWatermark(from);
  const counts = { ok: 0, dead: 0 };
  const waiters = new Map<number, ((how: SettledHow) => void)[]>();
  const moved: (() => void)[] = [];
  let gathered = new Map<number, Settlement>();
  let writing: ReadonlyMap<number, Settlement> = new Map();
  let running: Promise<void> | undefined;
  let broken = false;
  let fail!: (problem: SluiceError) => void;
  const failed = new Promise<SluiceError>((resolve) => {
    fail = (problem) => {
      broken = true;
      resolve(problem);
    };
  });

  async function write(): Promise<void> {
    // Settlements of one turn go together: the first does not leave alone.
    await Promise.resolve();
    while (gathered.size > 0 && !broken) {
      writing = gathered;
      gathered = new Map();
      for (const offset of writing.keys()) watermark.settle(offset);
      await log.settle(group, stream, onlyPartition, watermark.position(), [...writing.values()]);
      const written = writing;
      writing = new Map();
      for (const settlement of written.values()) {
        counts[settlement.kind]++;
        for (const tell of waiters.get(settlement.offset) ?? []) tell(settlement.kind);
        waiters.delete(settlement.offset);
      }
      for (const fn of moved) fn();
    }
  }

  return {
    watermark,
    counts,
    failed,
    fail,
    onMoved: (fn) => void moved.push(fn),
    settle(settlement) {
      gathered.set(settlement.offset, settlement);
      running ??= write()
        .catch((thrown) => fail(asFailure(thrown, 'unknown')))
        .finally(() => {
          running = undefined;
        });
    },
    async settled(offset, signal) {
      const onItsWay = gathered.has(offset) || writing.has(offset);
      if (!onItsWay && watermark.isSettled(offset)) {
        return (await log.deadLetter(group, stream, onlyPartition, offset)) === undefined ? 'ok' : 'dead';
      }
      return new Promise((resolve, reject) => {
        const tell = (how: SettledHow) => {
          signal.removeEventListener('abort', leave);
          resolve(how);
        };
        const leave = () => {
          const rest = waiters.get(offset)?.filter((waiter) => waiter !== tell) ?? [];
          if (rest.length === 0) waiters.delete(offset);
          else waiters.set(offset, rest);
          reject(cancelled(signal));
        };
        if (signal.aborted) return reject(cancelled(signal));
        signal.addEventListener('abort', leave, { once: true });
        waiters.set(offset, [...(waiters.get(offset) ?? []), tell]);
      });
    },
    async idle() {
      while (running !== undefined) await running;
      if (!broken) await log.flushed();
    },
  };
}

function cancelled(signal: AbortSignal): SluiceError {
  return failure('nobody waits for this record any more.', { code: 'CANCELLED', class: 'rejected', cause: signal.reason });
}
