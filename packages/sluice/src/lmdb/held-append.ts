/** One append while it is held: encoded, with what the transaction must know of it, and who waits for it. */

import type { SluiceError } from '../core/errors.js';
import type { NewEvent, Receipt } from '../log/record.js';
import { type EventEncoder, ownBuffer } from './event-encoder.js';
import { redriveMark } from './id-rows.js';
import { type EncodedEvents, encodeEvents } from './records.js';

/** One call of append or offer. */
export interface HeldAppend {
  readonly stream: string;
  readonly encoded: EncodedEvents;
  readonly items: number;
  /** Ids that must be looked up, undefined for an event whose id was generated, and the tenants that they belong to; undefined when there is none. */
  readonly claims: { readonly ids: readonly (string | undefined)[]; readonly tenants: readonly string[] } | undefined;
  /** Keys that decide the partition; undefined when no event has one. */
  readonly keys: readonly (string | null)[] | undefined;
  /** Bytes of the records. */
  readonly bytes: number;
  /** Both undefined for an offer: nobody waits for it. */
  readonly resolve: ((receipt: Receipt) => void) | undefined;
  readonly reject: ((error: SluiceError) => void) | undefined;
}

/** An append of events that were checked before. */
export function createHeldAppend(
  encode: EventEncoder,
  stream: string,
  events: readonly NewEvent[],
  resolve: HeldAppend['resolve'],
  reject: HeldAppend['reject'],
): HeldAppend {
  const encoded = encode(events);
  const bytes = encoded.starts[events.length]! - encoded.starts[0]!;
  return { stream, encoded, items: events.length, claims: claimsOf(events), keys: keysOf(events), bytes, resolve, reject };
}

/** An append of nothing: done when all before it is. */
export function barrier(resolve: HeldAppend['resolve'], reject: HeldAppend['reject']): HeldAppend {
  return { stream: '', encoded: noEvents, items: 0, claims: undefined, keys: undefined, bytes: 0, resolve, reject };
}

const noEvents = encodeEvents([]);

/** The same append in a buffer of its own, when it stays held while its neighbours go. */
export function outOfBlock(append: HeldAppend): HeldAppend {
  return { ...append, encoded: ownBuffer(append.encoded) };
}

function claimsOf(events: readonly NewEvent[]): HeldAppend['claims'] {
  for (let i = 0; i < events.length; i++) {
    if (mustClaim(events[i]!)) return { ids: events.map(idToClaim), tenants: events.map((event) => event.tenant) };
  }
  return undefined;
}

/** The id that must be unique; of a redrive, the id and that of the redrive. An id never holds a lone surrogate, so the two cannot be mistaken. */
function idToClaim(event: NewEvent): string | undefined {
  if (event.redrive != null) return redriveMark + JSON.stringify([event.id, event.redrive.id]);
  return event.generated === true ? undefined : event.id;
}

function mustClaim(event: NewEvent): boolean {
  return event.generated !== true || event.redrive != null;
}

function keysOf(events: readonly NewEvent[]): HeldAppend['keys'] {
  for (let i = 0; i < events.length; i++) if (events[i]!.key != null) return events.map((event) => event.key ?? null);
  return undefined;
}
