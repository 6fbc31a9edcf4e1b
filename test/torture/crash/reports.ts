/** Reports: what the tortured program tells the process that kills it, a line of JSON each. What is in the pipe survives the program. */

/** First and last offset, both included. */
export type Range = readonly [first: number, last: number];

/** Where a group stands: the settled prefix, and settled ranges above it. */
export interface Standing {
  readonly cursor: number;
  readonly above: readonly Range[];
}

/** Whether it is settled there. */
export function isSettled({ cursor, above }: Standing, offset: number): boolean {
  return offset < cursor || above.some(([first, last]) => offset >= first && offset <= last);
}

/** One partition of one stream. */
export interface Place {
  readonly stream: string;
  readonly partition: number;
}

/** One event of an append. */
export interface Acknowledged {
  readonly id: string;
  readonly partition: number;
  readonly offset: number;
  readonly duplicate: boolean;
  /** Which redrive of which letter it is, when it is one. */
  readonly redrive?: string;
}

/** What a program does, told before or after it, as each says. */
export type Report =
  /** Before: the events of this life from the number told last up to below this one may be in the log from now on; one writer sends them in this order. */
  | { readonly is: 'offered'; readonly below: number; readonly writer: number }
  /** After: these are durable. */
  | { readonly is: 'appended'; readonly stream: string; readonly events: readonly Acknowledged[] }
  /** After: events of `orders` that were merely offered, and are on disk now. */
  | { readonly is: 'flushed'; readonly ids: readonly string[] }
  /** Before the sink says that it has them. `inOrder`: by a consumer, which promises the order of each key. */
  | (Place & {
      readonly is: 'delivered';
      readonly group: string;
      readonly inOrder: boolean;
      readonly records: readonly (readonly [offset: number, id: string])[];
    })
  /** After: the log has it on disk. */
  | (Place & Standing & { readonly is: 'settled'; readonly group: string })
  /** Before: these letters may be gone from now on. */
  | { readonly is: 'purging'; readonly letters: readonly string[] }
  /** The program itself saw something that must not be. */
  | { readonly is: 'problem'; readonly what: string }
  | Found;

/** A record as it was read: where, whose, whether its bytes are those of its id, and which redrive it is. */
export type FoundRecord = readonly [offset: number, id: string, whole: boolean, redrive: string | null];

/** What a program finds in the store when it starts. */
export type Found =
  | (Place & { readonly is: 'stream'; readonly first: number; readonly next: number })
  | (Place & { readonly is: 'records'; readonly records: readonly FoundRecord[] })
  /** `lost`: records that retention took before the group had settled them. */
  | (Place & Standing & { readonly is: 'group'; readonly group: string; readonly lost: number })
  | (Place & {
      readonly is: 'letter';
      readonly letter: string;
      readonly group: string;
      readonly offset: number;
      readonly id: string;
      readonly whole: boolean;
      readonly redriven: boolean;
    })
  | { readonly is: 'letters'; readonly count: number }
  /** That was all. */
  | { readonly is: 'found' };

/** What the program is told when it may open the store. */
export interface Start {
  readonly path: string;
  readonly life: number;
  readonly seed: number;
  /** Ids that the life before appended and that a client would append again: some acknowledged, some not. */
  readonly again: readonly string[];
}
