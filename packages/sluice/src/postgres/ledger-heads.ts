/** ledger-heads: what a sink knows of the partitions that it writes: whose they are, and which offsets the ledger holds. */

import type { Pool, PoolClient } from 'pg';
import { failure, type SluiceError } from '../core/errors.js';
import type { Env } from '../env/env.js';
import { holds, holdsAny, mergeRanges } from '../log/ranges.js';
import { classifyPostgresError } from './classify.js';
import { onConnection } from './connection.js';
import type { LedgerPlace, LedgerPlaces } from './ledger-log.js';
import {
  hasSchemaStatement,
  headStatements,
  type LedgerTables,
  ledgerSchema,
  lockHead,
  mergeText,
  rangesStatement,
  rewindText,
  type SettledRange,
  settleText,
  takeOverStatement,
} from './ledger-table.js';

/** Who writes. */
export interface LedgerOwner {
  readonly source: string;
  readonly group: string;
  /** Asks the log, where there is one to ask. */
  readonly places: LedgerPlaces | undefined;
}

/** A partition that this sink has taken over. */
export interface LedgerHead {
  /** Whether the ledger was seen to hold this offset. */
  isSettled(offset: number): boolean;
  /** Whether it was seen to hold one of these. */
  holdsAnyOf(span: SettledRange): boolean;
  /** Looks into the ledger again, for these offsets. */
  refresh(within: SettledRange, signal: AbortSignal): Promise<void>;
  /** SQL that settles offsets, to go with the COMMIT of their rows. */
  settleText(ranges: readonly SettledRange[]): string;
  /**
   * Puts its ranges together, with what the log has settled under its epoch, if it has settled any since the last time. The `last` merge
   * looks again: the cursor passes dead letters, and a batch under way commits, after a merge that they were to be part of.
   */
  merge(signal: AbortSignal, last: boolean): Promise<void>;
}

/** The partitions of a sink. */
export interface LedgerHeads {
  /** Makes the tables. */
  prepare(signal: AbortSignal): Promise<void>;
  /**
   * The head of a partition; taken over first where this sink does not have it, or has it under an earlier epoch.
   *
   * @throws SluiceError `LEDGER_FENCED` (class blocked) when a later epoch has it, `LEDGER_AHEAD` (class blocked) when the log is older than the ledger.
   */
  head(stream: string, partition: number, epoch: number | undefined, signal: AbortSignal): Promise<LedgerHead>;
  /** Puts the ranges of all heads together; the `last` time, those of each that was written. */
  merge(signal: AbortSignal, last: boolean): Promise<void>;
}

/** Heads in these tables, through this pool. */
export function ledgerHeads(pool: Pool, tables: LedgerTables, owner: LedgerOwner, env: Env): LedgerHeads {
  const heads = new Map<string, Entry>();

  async function run<R>(signal: AbortSignal, use: (client: PoolClient) => Promise<R>): Promise<R> {
    try {
      return await onConnection(pool, signal, env, use);
    } catch (thrown) {
      throw classifyPostgresError(thrown);
    }
  }

  async function takeOver(
    stream: string,
    partition: number,
    epoch: number | undefined,
    signal: AbortSignal,
  ): Promise<LedgerHead> {
    const { make, find } = headStatements(tables);
    const names = [owner.source, owner.group, stream, partition];
    return run(signal, async (client) => {
      let id = await idOf(client, find, names);
      if (id === undefined) {
        await client.query(make, names);
        id = (await idOf(client, find, names))!;
      }
      await client.query('BEGIN');
      // Whoever is about to commit does so first: what it settles is then read.
      await client.query(lockHead(id));
      const { rows } = await client.query<{ epoch: number; before: number }>(takeOverStatement(tables), [id, epoch ?? null]);
      const [taken] = rows;
      const known = await readRanges(client, rangesStatement(tables, id));
      // After the ledger was read: another sink under the same claim may go on writing what is appended meanwhile.
      const place = await owner.places?.now(stream, partition);
      const refusal = await refusalOf({ stream, partition, epoch, taken, place, id, last: known.at(-1)?.last ?? -1 });
      await client.query(refusal === undefined ? 'COMMIT' : 'ROLLBACK');
      if (refusal !== undefined) throw refusal;
      const from = epoch !== undefined && place?.epoch === epoch ? place.cursor : undefined;
      return headOf({ id, epoch: taken!.epoch, stream, partition, from }, known);
    });
  }

  /** Why a head cannot be had: a later owner, or a log that lacks what the ledger holds. */
  async function refusalOf(taking: Taking): Promise<SluiceError | undefined> {
    const { stream, partition, epoch, taken, place, id, last } = taking;
    const what = `partition ${partition} of ${stream}`;
    // The log's own last claim is too old only where the log itself is.
    const isLatest = epoch !== undefined && place?.epoch === epoch;
    if (taken === undefined && !isLatest) return fencedFailure(what);
    if (place === undefined) return undefined;
    const atFirst = await owner.places?.atFirst(stream, partition);
    // Under the epochs of earlier processes nothing was written since.
    const end = epoch !== undefined && atFirst !== undefined && (taken?.before ?? 0) <= atFirst.epoch ? atFirst.end : place.end;
    if (taken !== undefined && last < end) return undefined;
    return aheadFailure(what, last, end, rewindText(tables, id, end));
  }

  function headOf({ id, epoch, stream, partition, from }: TakenHead, read: SettledRange[]): LedgerHead {
    let known = read;
    let isMerged = true;
    let isWritten = false;
    return {
      isSettled: (offset) => holds(known, offset),
      holdsAnyOf: ({ first, last }) => holdsAny(known, first, last),
      async refresh(within, signal) {
        const found = await run(signal, (client) => readRanges(client, rangesStatement(tables, id, within)));
        known = mergeRanges([...known, ...found]);
      },
      settleText(ranges) {
        isMerged = false;
        isWritten = true;
        return settleText(tables, id, epoch, ranges);
      },
      async merge(signal, last) {
        if (isMerged && !(last && isWritten)) return;
        isMerged = true;
        try {
          const place = from === undefined ? undefined : await owner.places?.now(stream, partition);
          // Under a later epoch the cursor may have been put there by a seek, over what nobody has settled.
          const cursor = place?.epoch === epoch ? place.cursor : 0;
          // A gap is closed for good: a power cut must not take back what the log says of it.
          if (cursor > 0) await owner.places?.onDisk();
          await run(signal, (client) => client.query(mergeText(tables, id, { first: from ?? 0, last: cursor - 1 })));
          // What lies below the cursor is not delivered again under this epoch.
          known = known.filter(({ last }) => last >= cursor);
        } catch (thrown) {
          isMerged = false;
          throw thrown;
        }
      },
    };
  }

  return {
    prepare: (signal) =>
      run(signal, async (client) => {
        const { rows } = await client.query<{ complete: boolean }>(hasSchemaStatement(tables));
        if (rows[0]?.complete !== true) await client.query(ledgerSchema(tables));
      }),
    head(stream, partition, epoch, signal) {
      const key = JSON.stringify([stream, partition]);
      const known = heads.get(key);
      if (known !== undefined && (epoch === undefined || epoch === known.epoch)) return known.taken;
      if (known?.epoch !== undefined && epoch !== undefined && epoch < known.epoch)
        return Promise.reject(fencedFailure(`partition ${partition} of ${stream}`));
      const taken = takeOver(stream, partition, epoch, signal);
      const entry: Entry = { epoch, taken };
      heads.set(key, entry);
      taken.then(
        (head) => {
          entry.head = head;
        },
        () => {
          if (heads.get(key) === entry) heads.delete(key);
        },
      );
      return taken;
    },
    async merge(signal, last) {
      for (const { head } of heads.values()) await head?.merge(signal, last);
    },
  };
}

/** A partition that this sink has, or is about to have. */
interface Entry {
  readonly epoch: number | undefined;
  readonly taken: Promise<LedgerHead>;
  head?: LedgerHead;
}

/** What a take-over has found, before it is committed. */
interface Taking {
  readonly id: number;
  readonly stream: string;
  readonly partition: number;
  readonly epoch: number | undefined;
  /** The epoch now, and before; `undefined` where a later one has it. */
  readonly taken: { readonly epoch: number; readonly before: number } | undefined;
  readonly place: LedgerPlace | undefined;
  /** The highest offset of the ledger; -1 when it holds none. */
  readonly last: number;
}

/** A head as it was taken over. */
interface TakenHead {
  readonly id: number;
  readonly epoch: number;
  readonly stream: string;
  readonly partition: number;
  /** Where the group stood then: from there on the cursor of the same epoch has passed only what is settled. `undefined`: not known. */
  readonly from: number | undefined;
}

async function idOf(client: PoolClient, find: string, names: readonly unknown[]): Promise<number | undefined> {
  const { rows } = await client.query<{ id: number }>(find, names as unknown[]);
  return rows[0]?.id;
}

async function readRanges(client: PoolClient, text: string): Promise<SettledRange[]> {
  return mergeRanges((await client.query<{ first: number; last: number }>(text)).rows);
}

/** Another owner has the partition. */
export function fencedFailure(what: string, cause?: unknown): SluiceError {
  return failure(
    `${what} was taken over by a later owner; this one writes nothing more of it. Its records are safe in the log.`,
    { code: 'LEDGER_FENCED', class: 'blocked', cause },
  );
}

/** The ledger holds what the log does not have. */
function aheadFailure(what: string, last: number, end: number, rewind: string): SluiceError {
  return failure(
    `the ledger is ahead of the log: it knows ${what} up to offset ${last} or a later claim of it, and the log ends at ${end}. The log was restored from a backup, or is another one under the same name: its new records would be taken for written ones, so none is written. If it is another log, give it another source; if it was restored, stop the service and run: ${rewind}`,
    { code: 'LEDGER_AHEAD', class: 'blocked' },
  );
}
