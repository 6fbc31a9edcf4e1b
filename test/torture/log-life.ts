/** Life: one process on a store that outlives it. At every step it may die: before the step has happened, or after it and before anybody knows. */

import type { Clock, Env, SluiceEvent } from 'sluice';
import { createMemoryLog, type DeadLetters, type Log, type MemoryStore } from 'sluice/log';
import { seededRandom } from 'sluice/testing';
import type { Draw } from './draw.js';

/** A process. */
export interface Life {
  readonly isAlive: boolean;
  readonly env: Env;
  /** The log as this process has it: each call that changes something is a step. */
  readonly log: Log;
  /** Lets something happen, unless the process dies; what has died never hears of anything again. */
  step<T>(what: string, act: () => Promise<T>): Promise<T>;
  kill(): void;
}

/** What a life is made of. */
export interface LifeOptions {
  readonly seed: number;
  readonly clock: Clock;
  readonly store: MemoryStore;
  readonly draw: Draw;
  /** Chance of dying at one side of a step. */
  readonly risk: number;
  /** Most letters that the store takes. */
  readonly maxLetters: number;
  observe(event: SluiceEvent): void;
  /** A group was put somewhere else, whether its process lives to hear of it or not. */
  sought(group: string, partition: number, offset: number): void;
  note(what: string): void;
}

/** Starts a process. */
export function startLife(options: LifeOptions): Life {
  const { clock, store, draw, risk, note } = options;
  const timers = new Set<() => void>();
  let isAlive = true;

  const scheduled = (schedule: (fn: () => void) => () => void, fn: () => void) => {
    const stop = schedule(() => {
      timers.delete(cancel);
      if (isAlive) fn();
    });
    const cancel = () => {
      timers.delete(cancel);
      stop();
    };
    timers.add(cancel);
    return cancel;
  };
  const mortalClock: Clock = {
    movesWithinTurn: true,
    now: () => clock.now(),
    wall: () => clock.wall(),
    after: (ms, fn) => scheduled((fire) => clock.after(ms, fire), fn),
    afterTurn: (fn) => scheduled((fire) => clock.afterTurn(fire), fn),
  };
  const env: Env = {
    clock: mortalClock,
    random: seededRandom(options.seed),
    neutral: (fn) => fn(),
    observe(event) {
      if (isAlive) options.observe(event);
    },
  };

  const kill = () => {
    isAlive = false;
    for (const cancel of [...timers]) cancel();
  };
  const dies = (what: string) => {
    if (risk === 0 || !draw.chance(risk)) return false;
    note(`dies ${what}`);
    kill();
    return true;
  };

  async function step<T>(what: string, act: () => Promise<T>): Promise<T> {
    if (!isAlive || dies(`before ${what}`)) return never();
    const result = await act();
    if (!isAlive || dies(`after ${what}`)) return never();
    return result;
  }

  async function look<T>(act: () => Promise<T>): Promise<T> {
    if (!isAlive) return never();
    const result = await act();
    return isAlive ? result : never();
  }

  const inner = createMemoryLog({ env, store, deadLetters: { maxItems: options.maxLetters } });
  const life: Life = {
    get isAlive() {
      return isAlive;
    },
    env,
    log: mortalLog(inner, step, look, options.sought),
    step,
    kill,
  };
  return life;
}

type Doing = <T>(what: string, act: () => Promise<T>) => Promise<T>;
type Looking = <T>(act: () => Promise<T>) => Promise<T>;

function mortalLog(inner: Log, step: Doing, look: Looking, sought: LifeOptions['sought']): Log {
  return {
    id: inner.id,
    facets: inner.facets,
    defineStream: (...args) => step('define', () => inner.defineStream(...args)),
    streamSettings: (...args) => look(() => inner.streamSettings(...args)),
    streams: () => look(() => inner.streams()),
    offer: (...args) => inner.offer(...args),
    append: (...args) => step('append', () => inner.append(...args)),
    read: (...args) => look(() => inner.read(...args)),
    offsetAt: (...args) => look(() => inner.offsetAt(...args)),
    onAppended: (...args) => inner.onAppended(...args),
    createGroup: (...args) => step('create group', () => inner.createGroup(...args)),
    deleteGroup: (...args) => step('delete group', () => inner.deleteGroup(...args)),
    groups: (...args) => look(() => inner.groups(...args)),
    position: (...args) => look(() => inner.position(...args)),
    lag: (...args) => look(() => inner.lag(...args)),
    claim: (...args) => step('claim', () => inner.claim(...args)),
    inFlight: (...args) => step('mark', () => inner.inFlight(...args)),
    settle: (...args) => step('settle', () => inner.settle(...args)),
    skip: (...args) => step('skip', () => inner.skip(...args)),
    release: (...args) => step('release', () => inner.release(...args)),
    seek: (group, stream, partition, to) =>
      step('seek', async () => {
        const position = await inner.seek(group, stream, partition, to);
        sought(group, partition, position.cursor);
        return position;
      }),
    letters: mortalLetters(inner.letters, step, look),
    retain: () => step('retain', () => inner.retain()),
    flushed: () => look(() => inner.flushed()),
    get memoryOnly() {
      return inner.memoryOnly;
    },
    stopped: inner.stopped,
    close: () => inner.close(),
  };
}

function mortalLetters(inner: DeadLetters, step: Doing, look: Looking): DeadLetters {
  return {
    get items() {
      return inner.items;
    },
    get bytes() {
      return inner.bytes;
    },
    page: (...args) => look(() => inner.page(...args)),
    groups: (...args) => look(() => inner.groups(...args)),
    get: (...args) => look(() => inner.get(...args)),
    markRedriven: (...args) => step('mark redriven', () => inner.markRedriven(...args)),
    purge: (...args) => step('purge', () => inner.purge(...args)),
  };
}

/** What a dead process waits for. A promise of its own for each: one for all would hold everybody who ever waited. */
const never = () => new Promise<never>(() => {});
