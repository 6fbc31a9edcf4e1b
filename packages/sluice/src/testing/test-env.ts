/** testEnv: an env whose time a test moves, whose randomness a seed fixes, and which remembers what it was told. */

import type { SluiceEvent } from '../core/event.js';
import type { Env } from '../env/env.js';
import { capturedContext } from '../env/system.js';
import { seededRandom } from './seeded-random.js';
import { TestClock } from './test-clock.js';

/** An env for tests. */
export interface TestEnv extends Env {
  readonly clock: TestClock;
  /** All events so far, oldest first. */
  readonly events: readonly SluiceEvent[];
  /** The events of one type. */
  eventsOf<T extends SluiceEvent['type']>(type: T): Extract<SluiceEvent, { type: T }>[];
}

/**
 * An env for tests.
 *
 * @example
 * const env = testEnv({ seed: 1 });
 * const users = createLoader(fetchUsers, { env, window: { maxDelayMs: 100 } });
 * const ann = users.load(7);
 * await env.clock.advance(100);
 * expect(await ann).toEqual({ name: 'Ann' });
 */
export function testEnv(options: { readonly seed?: number; readonly observe?: (event: SluiceEvent) => void } = {}): TestEnv {
  const events: SluiceEvent[] = [];
  return {
    clock: new TestClock(),
    random: seededRandom(options.seed ?? 1),
    neutral: capturedContext(),
    events,
    observe(event) {
      events.push(event);
      options.observe?.(event);
    },
    eventsOf: <T extends SluiceEvent['type']>(type: T) =>
      events.filter((event): event is Extract<SluiceEvent, { type: T }> => event.type === type),
  };
}
