/** ledger-heads: what a sink knows of the partitions that it writes: whose they are, and which offsets the ledger holds. */

import type { Pool, PoolClient } from 'pg';
import { failure, type SluiceError } from '../core/errors.js';
import type { Env } from '../env/env.js';
import { holds, mergeRanges } from '../log/ranges.js';
import { classifyPostgresError } from './classify.js';
import { onConnection } from './connection.js';
import {
  hasSchemaStatement,
  headStatements,
  type LedgerTables,
  ledgerSchema,
  lockHead,
  mergeText,
  rangesStatement,
  type SettledRange,
  settleText,
  takeOverStatement,
} from './ledger-table.js';

/** Who writes. */
export interface LedgerOwner {
  readonly source: string;
  readonly group: string;
}

/** A partition that this sink has taken over. */
export interface LedgerHead {
  readonly stream: string;
  readonly partition: number;
  readonly epoch: number;
  /** Whether the ledger was seen to hold this offset. */
  isSettled(offset: number): boolean;
  /** Looks into the ledger again, for these offsets. */
  refresh(within: SettledRange, signal: AbortSignal): Promise<void>;
  /** SQL that settles offsets, to go with the COMMIT of their rows. */
  settleText(ranges: readonly SettledRange[]): string;
  /** Puts its ranges together, with all below `cursor`. */
  merge(cursor: number, signal: AbortSignal): Promise<void>;
}

/** The partitions of a sink. */
export interface LedgerHeads {
  /** Makes the tables. */
  prepare(signal: AbortSignal): Promise<void>;
  /**
   * The head of a partition; taken over first where this sink does not have it, or has it under an earlier epoch.
   *
   * @throws SluiceError `LEDGER_FENCED` (class blocked) when a later epoch has it.
   */
  head(stream: string, partition: number, epoch: number | undefined, signal: AbortSignal): Promise<LedgerHead>;
}

/** Heads in these tables, through this pool. */
export function ledgerHeads(pool: Pool, tables: LedgerTables, owner: LedgerOwner, env: Env): LedgerHeads {
  const heads = new Map<string, { readonly epoch: number | undefined; readonly taken: Promise<LedgerHead> }>();

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
      const { rows } = await client.query<{ epoch: number }>(takeOverStatement(tables), [id, epoch ?? null]);
      if (rows[0] === undefined) {
        await client.query('ROLLBACK');
        throw fencedFailure(`partition ${partition} of ${stream}`);
      }
      const known = await readRanges(client, rangesStatement(tables, id));
      await client.query('COMMIT');
      return headOf(id, rows[0].epoch, stream, partition, known);
    });
  }

  function headOf(id: number, epoch: number, stream: string, partition: number, read: SettledRange[]): LedgerHead {
    let known = read;
    return {
      stream,
      partition,
      epoch,
      isSettled: (offset) => holds(known, offset),
      async refresh(within, signal) {
        const found = await run(signal, (client) => readRanges(client, rangesStatement(tables, id, within)));
        known = mergeRanges([...known, ...found]);
      },
      settleText: (ranges) => settleText(tables, id, epoch, ranges),
      async merge(cursor, signal) {
        await run(signal, (client) => client.query(mergeText(tables, id, cursor)));
        // What lies below the cursor is not delivered again.
        known = known.filter(({ last }) => last >= cursor);
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
      const entry = { epoch, taken };
      heads.set(key, entry);
      taken.catch(() => {
        if (heads.get(key) === entry) heads.delete(key);
      });
      return taken;
    },
  };
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
