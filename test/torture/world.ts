/** World: a virtual clock, an env on it, and a script of things that happen at random times. */

import type { Clock, Env, SluiceEvent } from 'sluice';
import { type Happenings, type Violation, VirtualClock } from 'sluice/simulate';
import { seededRandom } from 'sluice/testing';
import type { Draw } from './draw.js';

/** What one schedule came to. */
export interface Played {
  readonly violations: readonly Violation[];
  /** What happened, one line each, oldest first; empty unless it was asked for. */
  readonly trace: readonly string[];
}

/** An env on a virtual clock. */
export function worldOf(seed: number, afterStep: () => void, observe: (event: SluiceEvent) => void) {
  const clock = new VirtualClock({ afterStep });
  const env: Env = { clock, random: seededRandom(seed), neutral: (fn) => fn(), observe };
  return { clock, env };
}

/** A clock that promises to stand still while one run of code goes on, as the system's does: many arrivals share a reading of it. */
export function stillClock(clock: Clock): Clock {
  return {
    now: () => clock.now(),
    wall: () => clock.wall(),
    after: (ms, fn) => clock.after(ms, fn),
    afterTurn: (fn) => clock.afterTurn(fn),
  };
}

/** Lets `act` happen `count` times: in one turn with the one before, at the same time, a little later, or much later. */
export function script(draw: Draw, count: number, act: () => void): Happenings & { isOver(): boolean } {
  let left = count;
  let at = draw.int(0, 3);
  return {
    isOver: () => left === 0,
    nextAt: () => (left > 0 ? at : Number.POSITIVE_INFINITY),
    happen() {
      do {
        left--;
        act();
      } while (left > 0 && draw.chance(0.35));
      at += draw.pick([0, 0, 1, 1, 3, 5, 10, 20, 50, 120]);
      return 'stir';
    },
  };
}

/** A signal whose listeners are counted. */
export function countedSignal(): { readonly controller: AbortController; listeners(): number } {
  const controller = new AbortController();
  const { signal } = controller;
  const left = new Set<unknown>();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = ((...args: Parameters<typeof add>) => {
    left.add(args[1]);
    add(...args);
  }) as typeof signal.addEventListener;
  signal.removeEventListener = ((...args: Parameters<typeof remove>) => {
    left.delete(args[1]);
    remove(...args);
  }) as typeof signal.removeEventListener;
  return { controller, listeners: () => left.size };
}

/** Whether nobody has aborted it: whoever comes with an aborted signal is turned away before it is counted. */
export function isLive({ controller }: { readonly controller: AbortController }): boolean {
  return !controller.signal.aborted;
}
