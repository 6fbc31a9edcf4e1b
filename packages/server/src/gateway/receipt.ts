/** Receipt: what a sender of events is told, item by item, and the status that goes with it. */

/** How safe events are: in memory, on disk, in the pipeline's sink. */
export type AckLevel = 'accepted' | 'durable' | 'committed';

/** The levels, weakest first. */
export const ackLevels: readonly AckLevel[] = ['accepted', 'durable', 'committed'];

/** What became of one item that was not simply taken. */
export interface ItemError {
  /** Position of the item in the request, from 0. */
  readonly index: number;
  readonly code: string;
  readonly message: string;
  /** Of `DEAD_LETTERED`, where they are known: the ids of the dead letters, which `sluice dlq show` and the control plane take. */
  readonly letters?: readonly string[];
}

/** The answer to `POST /v1/streams/:stream/events`. `accepted + duplicates + rejected` is the number of items. */
export interface Receipt {
  /** The level that every item outside `errors` has reached. */
  readonly ack: AckLevel;
  readonly accepted: number;
  /** Items whose id the log knew already; nothing was stored for them. */
  readonly duplicates: number;
  readonly rejected: number;
  /** The ids in input order, `null` where an item was refused. Only there when the gateway made at least one of them. */
  readonly ids?: readonly (string | null)[];
  /** Items that were refused, and items that were taken and then parked (`DEAD_LETTERED`), by index. */
  readonly errors: readonly ItemError[];
  /** Only there when every item was refused, in the form of every other error. */
  readonly error?: { readonly code: string; readonly message: string };
}

/**
 * The status of a receipt: 400 all items were refused, 207 some were; 202 when only memory holds them, or when the level asked
 * for was not reached in time; 207 when some died; else 200.
 */
export function receiptStatus(receipt: Receipt, asked: AckLevel): number {
  if (receipt.rejected > 0) return receipt.accepted + receipt.duplicates === 0 ? 400 : 207;
  if (receipt.ack === 'accepted' || receipt.ack !== asked) return 202;
  return receipt.errors.length > 0 ? 207 : 200;
}
