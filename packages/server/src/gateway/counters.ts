/** Counters: what a gateway counts. */

import type { Receipt } from './receipt.js';

/** What a gateway has counted since it started. */
export interface GatewayCounters {
  /** Requests on any path. */
  requests: number;
  /** Items put into the log, or into its memory. */
  accepted: number;
  /** Items that the log knew already. */
  duplicates: number;
  /** Items refused by index. */
  rejected: number;
  /** Refused items by code. */
  readonly rejectedByCode: Map<string, number>;
  /** Requests answered with 503. */
  overloaded: number;
  /** Connections closed because there were `maxConnections` already. */
  refusedConnections: number;
  /** Requests of `/read`. */
  reads: number;
  /** Keys that `/read` left out because the backend's value is not a number. */
  readInvalid: number;
}

/** Nothing yet. */
export function createCounters(): GatewayCounters {
  return {
    requests: 0,
    accepted: 0,
    duplicates: 0,
    rejected: 0,
    rejectedByCode: new Map(),
    overloaded: 0,
    refusedConnections: 0,
    reads: 0,
    readInvalid: 0,
  };
}

/** Counts what became of the items of a request. */
export function countReceipt(counters: GatewayCounters, receipt: Receipt): void {
  counters.accepted += receipt.accepted;
  counters.duplicates += receipt.duplicates;
  counters.rejected += receipt.rejected;
  for (const { code } of receipt.errors) {
    if (code !== 'DEAD_LETTERED') counters.rejectedByCode.set(code, (counters.rejectedByCode.get(code) ?? 0) + 1);
  }
}
