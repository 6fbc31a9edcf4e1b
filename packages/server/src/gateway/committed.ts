/** Committed: the wait of a request until its pipelines have settled what it stored. */

import type { Appended, Position, SettledHow } from 'sluice/log';
import type { ItemError, Receipt } from './receipt.js';
import type { Stored } from './receive.js';

/**
 * Waits until records are settled by the pipelines that read their stream, and tells of each how; of those that are not settled when the wait
 * is given up, `undefined`. Records settled long ago are answered too, so that a duplicate learns what became of its original.
 *
 * @param givenUp is called with what is to be called when the request waits no more.
 */
export type Settled = (
  records: readonly Position[],
  givenUp: (giveUp: () => void) => void,
) => Promise<readonly (SettledHow | undefined)[]>;

/** How long a request waits for its pipelines. */
export interface CommitOptions {
  readonly settled: Settled;
  /** What the dead letters of a record are called; none where that is not known. */
  readonly lettersOf: (record: Position) => Promise<readonly string[]>;
  readonly ackTimeoutMs: number;
  /** Calls that when the client leaves. What was appended stays; nobody waits for the pipeline any more. */
  readonly onGone: (fn: () => void) => void;
}

/** Waits until all that was stored is settled, the time is up, the client is gone or the pipeline stops; tells of the dead, where known. */
export function whenCommitted(stored: Stored, { settled, lettersOf, ackTimeoutMs, onGone }: CommitOptions): Promise<Receipt> {
  const { receipt, appended } = stored;
  if (appended.length === 0) return Promise.resolve({ ...receipt, ack: 'committed' });
  const patience = new Patience(ackTimeoutMs, onGone);
  const answer = (hows: readonly (SettledHow | undefined)[]): Receipt | Promise<Receipt> => {
    patience.end();
    const ack = hows.length > 0 && !hows.includes(undefined) ? 'committed' : 'durable';
    const reached = { ...receipt, ack } as const;
    return hows.includes('dead') ? withDead(reached, stored, hows, lettersOf) : reached;
  };
  return settled(appended, patience.whenOver).then(answer, () => answer([]));
}

async function withDead(
  receipt: Receipt,
  { appended, indexes }: Stored,
  hows: readonly (SettledHow | undefined)[],
  lettersOf: CommitOptions['lettersOf'],
): Promise<Receipt> {
  const dead = appended.flatMap((one, at) =>
    hows[at] === 'dead' ? [lettersOf(one).then((letters) => deadLettered(indexes?.[at] ?? at, one, letters))] : [],
  );
  return { ...receipt, errors: [...receipt.errors, ...(await Promise.all(dead))].sort((a, b) => a.index - b.index) };
}

/** How long a request waits. A class, and no async function around it: what there is for each request lives until its answer. */
class Patience {
  readonly #timer: NodeJS.Timeout;
  #isOver = false;
  readonly #givingUp: (() => void)[] = [];

  constructor(ms: number, onGone: (fn: () => void) => void) {
    const giveUp = () => this.#giveUp();
    this.#timer = setTimeout(giveUp, ms);
    onGone(giveUp);
  }

  readonly whenOver = (giveUp: () => void): void => {
    if (this.#isOver) giveUp();
    else this.#givingUp.push(giveUp);
  };

  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #giveUp(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const giveUp of this.#givingUp) giveUp();
  }
}

function deadLettered(index: number, { duplicate, partition, offset }: Appended, letters: readonly string[]): ItemError {
  const which = duplicate ? 'its original' : 'it';
  const where =
    letters.length === 0
      ? `at partition ${partition}, offset ${offset}`
      : `as the dead letter${letters.length === 1 ? '' : 's'} ${letters.join(' and ')}`;
  return {
    index,
    code: 'DEAD_LETTERED',
    message: `the event is in the log, but the pipeline could not write it: ${which} is parked ${where}`,
    ...(letters.length === 0 ? {} : { letters }),
  };
}
