/** Records: what is appended to a log, and what is read from it. */

/** An event to append. */
export interface NewEvent {
  /** Unique in (stream, tenant) within the window of ids: 1 to 512 bytes of UTF-8. */
  readonly id: string;
  /** The id was made for this event just now: it cannot be a duplicate, and the window of ids need not hold it. */
  readonly generated?: boolean;
  /** Decides the partition, and with it the order: events of one key stay in order. 1 to 512 bytes of UTF-8. Without one the append decides. */
  readonly key?: string | null;
  /** `'_'` without tenants. */
  readonly tenant: string;
  /** When it happened, as RFC 3339 text, as the sender wrote it; `null` when it did not say. */
  readonly time: string | null;
  /** When it was received, in epoch milliseconds. */
  readonly receivedAt: number;
  /** Trace that it belongs to, as a W3C `traceparent`: at most 64 bytes. */
  readonly trace?: string | null;
  /** It is a dead letter that is sent again: duplicates are known by (id, `redrive.id`), and the record carries this on. */
  readonly redrive?: Redrive | null;
  /** The event as received, byte for byte. */
  readonly payload: Uint8Array;
}

/** Marks an event as a dead letter that is sent again. */
export interface Redrive {
  /** Names this redrive of this letter: the same again is a duplicate. 1 to 512 bytes of UTF-8. */
  readonly id: string;
  /** The group whose letter it was; others may pass it over. `null`: it was a letter of another stream, whose groups are no groups of this one. */
  readonly group: string | null;
}

/** A record of the log. */
export interface LogRecord {
  readonly stream: string;
  readonly partition: number;
  /** Position in the partition, from 0, without gaps. */
  readonly offset: number;
  readonly id: string;
  readonly tenant: string;
  readonly key: string | null;
  readonly time: string | null;
  readonly receivedAt: number;
  readonly trace: string | null;
  readonly redrive: Redrive | null;
  readonly payload: Uint8Array;
}

/** Position in a stream. */
export interface Position {
  readonly partition: number;
  readonly offset: number;
}

/** What became of one event of an append. */
export interface Appended extends Position {
  /** An event with this id is in the window already: nothing was stored, and partition and offset are those of the original. */
  readonly duplicate: boolean;
}

/**
 * How far an event has come: `accepted` (in memory), `durable` (on disk), `committed` (a consumer group has settled it).
 */
export type AckLevel = 'accepted' | 'durable' | 'committed';

/** What an append has reached. */
export interface Receipt {
  readonly level: AckLevel;
  /** What became of each event, in the order of the append. */
  readonly appended: readonly Appended[];
}
