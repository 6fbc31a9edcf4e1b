/** VirtualClock: time that runs as fast as the work allows, and always in the same order. */

import { failure } from '../core/errors.js';
import type { Cancel } from './env.js';
import { SteppedClock } from './stepped-clock.js';
import { drainJobs, systemEnv } from './system.js';

/** What comes from outside while a virtual clock runs: arrivals, steps of a script. */
export interface Happenings {
  /** When the next one happens, in monotonic milliseconds; `Infinity` when there are no more. */
  nextAt(): number;
  /**
   * Lets it happen. Whatever it does is one turn.
   *
   * @returns `'quiet'` when it has started no timer and can have queued no promise job: the clock then goes on at once, without the
   * end of a turn, and this is no step.
   */
  happen(): 'quiet' | 'stir';
}

/** Options of {@link VirtualClock}. */
export interface VirtualClockOptions {
  /** The wall clock at monotonic 0, in epoch milliseconds. Default 2024-01-01T00:00:00Z. */
  readonly wallStartMs?: number;
  /** Called after every turn, its promise jobs and the end of the turn: nothing is under way then but timers. Default none. */
  readonly afterStep?: () => void;
}

/**
 * A clock whose time jumps from one event to the next. Between two events every promise job runs, and so does what waits for the
 * end of the turn. A class: it stands on the hot path of a simulation.
 *
 * Only what takes its time from this clock is simulated: a sink that does real input or output does not belong here.
 */
export class VirtualClock extends SteppedClock {
  readonly #afterStep: (() => void) | undefined;
  #turnEnd: { fn: (() => void) | undefined }[] = [];
  #drains = 0;
  #running = false;

  constructor(options: VirtualClockOptions = {}) {
    super(options.wallStartMs);
    this.#afterStep = options.afterStep;
  }

  /** Timers and waits for the end of the turn that were ever started: did something happen here in between? */
  get started(): number {
    return this.startedCount;
  }

  afterTurn(fn: () => void): Cancel {
    const entry: { fn: (() => void) | undefined } = { fn };
    this.countStarted();
    this.#turnEnd.push(entry);
    return () => {
      entry.fn = undefined;
    };
  }

  /**
   * Runs until `untilMs`, or with `Infinity` until nothing is left to happen. Events happen in the order of their times; at the same
   * time timers come first, in the order of their making.
   *
   * @param happenings what comes from outside meanwhile.
   * @param isOver asked after every step; true ends the run, with what is left undone.
   * @throws SluiceError `FAILED` when the clock runs already; and what an event throws.
   */
  async run(untilMs: number, happenings?: Happenings, isOver: () => boolean = () => false): Promise<void> {
    if (this.#running) throw failure('this virtual clock runs already; await that run first.');
    this.#running = true;
    try {
      await this.#jobsDone();
      await this.#endTurn();
      this.#afterStep?.();
      while (!isOver()) {
        const timerAt = this.nextTimerAt();
        const nextAt = happenings === undefined ? Number.POSITIVE_INFINITY : happenings.nextAt();
        const at = Math.min(timerAt, nextAt);
        if (at === Number.POSITIVE_INFINITY || at > untilMs) {
          if (untilMs !== Number.POSITIVE_INFINITY) this.moveTo(untilMs);
          return;
        }
        this.moveTo(at);
        if (timerAt <= nextAt) this.fireNext();
        else if (happenings!.happen() === 'quiet') continue;
        await this.#jobsDone();
        if (this.#turnEnd.length > 0) await this.#endTurn();
        this.#afterStep?.();
      }
    } finally {
      this.#running = false;
    }
  }

  /** What waits for the end of the turn, and its promise jobs, until nothing is left of either. */
  async #endTurn(): Promise<void> {
    while (this.#turnEnd.length > 0) {
      const ended = this.#turnEnd;
      this.#turnEnd = [];
      for (const entry of ended) entry.fn?.();
      await this.#jobsDone();
    }
  }

  /**
   * The platform's own end of the turn: it comes when no promise job is left, so this drain is exact, and it costs a tenth of a turn
   * of the event loop. Now and then a whole turn, so that signals and timers of the process get through.
   */
  #jobsDone(): Promise<void> {
    if (++this.#drains % drainsPerYield === 0) return drainJobs();
    return new Promise(endOfTurn);
  }
}

/** Some 10 ms of work: seldom enough to cost nothing, often enough for Ctrl-C. */
const drainsPerYield = 16_384;

const { afterTurn } = systemEnv().clock;

function endOfTurn(resolve: () => void): void {
  afterTurn(resolve);
}
