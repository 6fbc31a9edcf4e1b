/** The engine of a batcher: its bounds, lanes and layers, and what it does with what is dropped. */

import type { Dispatcher, Layer } from '../core/dispatcher.js';
import type { DropReason, SluiceEvent } from '../core/event.js';
import { layersIn, sinkDispatcher, stack } from '../core/stack.js';
import { dropping } from '../engine/drops.js';
import { Engine } from '../engine/engine.js';
import { haltAtFailure } from '../engine/halts.js';
import type { EngineItem } from '../engine/item.js';
import type { Env } from '../env/env.js';
import { limit } from '../layers/limit.js';
import { timeout } from '../layers/timeout.js';
import { combining } from './combine.js';
import { type BatcherOptions, batcherNumber, boundsOf } from './options.js';
import { PushItem } from './push-item.js';

/** What a batcher's engine tells its batcher. */
export interface BatcherEngine<T, R> {
  readonly engine: Engine<T, R, PushItem<T, R>>;
  readonly drops: Readonly<Record<DropReason, number>>;
}

/**
 * Makes the engine of a batcher.
 *
 * @param laneOf the lane of an item; undefined where there is one for all.
 * @param onEnded told of each item that has ended but those that were cancelled or refused.
 */
export function engineOf<T, R>(
  options: BatcherOptions<T, R>,
  env: Env,
  laneOf: ((item: T) => string) | undefined,
  onEnded: (item: PushItem<T, R>) => void,
): BatcherEngine<T, R> {
  const { adapt, onDrop, combine, strict, overflow, name = 'batcher' } = options;
  const bounds = boundsOf(options, laneOf);
  const drops = { dropOldest: 0, dropNewest: 0 };
  const sink = combine === undefined ? options.sink : combining(options.sink, combine);
  const layers = layersOf(options);
  const tellDrop = onDrop === undefined ? undefined : laterTeller(onDrop, bounds.maxHeldItems, name, env);
  const watched: Env = { clock: env.clock, random: env.random, neutral: (fn) => env.neutral(fn), observe };

  function observe(event: SluiceEvent): void {
    if (event.type === 'cut' && adapt !== undefined) {
      const { maxItems } = engine.bounds;
      engine.bounds.maxItems = Math.max(1, Math.round(adapt.next({ items: event.items, maxItems, now: env.clock.now() })));
    }
    env.observe(event);
  }

  const engine: Engine<T, R, PushItem<T, R>> = new Engine<T, R, PushItem<T, R>>({
    ...bounds,
    name,
    env: adapt === undefined ? env : watched,
    dispatcher: (engineEnv): Dispatcher<T, R> => stack(layers, sinkDispatcher(sink, engineEnv), engineEnv),
    settle(item: EngineItem<T>, outcome, index) {
      // Nobody waits for an item that the engine itself has made of a value.
      if (!(item instanceof PushItem)) return;
      onEnded(item);
      item.tell(outcome, index);
    },
    drops:
      overflow === 'dropOldest' || overflow === 'dropNewest'
        ? dropping(overflow, (value, reason) => {
            drops[reason]++;
            tellDrop?.(value, reason);
          })
        : undefined,
    onCounted: strict === 'halt' ? haltAtFailure : undefined,
  });
  return { engine, drops };
}

function layersOf<T, R>(options: BatcherOptions<T, R>): readonly Layer<T, R>[] {
  const maxInFlight = batcherNumber('maxInFlight', options.maxInFlight, 4);
  return [
    ...layersIn(options.layers),
    limit({ maxInFlight }),
    timeout({
      timeoutMs: batcherNumber('timeoutMs', options.timeoutMs, 30_000, { least: 1, infinite: true }),
      maxAbandoned: options.maxAbandoned ?? maxInFlight,
    }),
  ];
}

/**
 * Tells in a job of its own: a callback within the call that caused it might find that call half done, or call in again without end.
 * Only when as many wait to be told as may be held, they are told at once: they take memory too.
 */
function laterTeller<T>(
  onDrop: (item: T, reason: DropReason) => void,
  most: number,
  name: string,
  env: Env,
): (item: T, reason: DropReason) => void {
  let waiting: { readonly item: T; readonly reason: DropReason }[] = [];
  const tellAll = () => {
    const told = waiting;
    waiting = [];
    for (const { item, reason } of told) {
      try {
        onDrop(item, reason);
      } catch (error) {
        env.observe({ type: 'callbackError', name, error });
      }
    }
  };
  return (item, reason) => {
    waiting.push({ item, reason });
    if (waiting.length === 1) void env.neutral(() => Promise.resolve().then(tellAll));
    else if (waiting.length >= most) tellAll();
  };
}
