/** Layers for a schedule: each of the library's, in the order of the documentation, or in any order at all. */

import type { Env } from 'sluice';
import {
  adaptive,
  bisect,
  breaker,
  type DeadLetterStore,
  deadLetter,
  type IdempotencyStore,
  idempotency,
  type Layer,
  limit,
  type MemoryDeadLetterStore,
  memoryDeadLetterStore,
  memoryIdempotencyStore,
  observe,
  rate,
  retry,
  timeout,
} from 'sluice/layers';
import type { Draw } from './draw.js';

/** The layers of one schedule, and what they keep. */
export interface DrawnLayers<T> {
  readonly names: readonly string[];
  /** They stand as the documentation says. */
  readonly inOrder: boolean;
  readonly layers: readonly Layer<T, number>[];
  /** Where the dead are, if there is a layer that parks. */
  readonly letters: MemoryDeadLetterStore<T> | undefined;
  /** Some items have the same key, and only one of them is sent. */
  readonly sharesKeys: boolean;
  /** A breaker may come to refuse what has waited. */
  readonly refuses: boolean;
  /** A timer may outlive the close for a while: a store answers when it does. */
  readonly lingers: boolean;
}

/** The key of an item where keys are shared. */
export function keyOf(n: number): string {
  return `key ${n % 6}`;
}

/** Draws layers. `ordered`: the items of a key must not overtake each other, whatever is retried. */
export function drawLayers<T extends { readonly n: number }>(draw: Draw, env: Env, ordered: boolean): DrawnLayers<T> {
  if (draw.chance(0.3))
    return { names: [], inOrder: true, layers: [], letters: undefined, sharesKeys: false, refuses: false, lingers: false };
  const sharesKeys = draw.chance(0.5);
  const letters = memoryDeadLetterStore<T>({
    maxLetters: draw.pick([1, 5, 10_000]),
    env,
  });
  const perLane = draw.chance(0.5);
  const open = draw.pick(['wait', 'wait', 'reject'] as const);
  const known: readonly Known<T, number>[] = [
    ['idempotency', () => idempotency({ store: drawKeys(draw, env), keyOf: ({ n }) => (sharesKeys ? keyOf(n) : String(n)) })],
    ['deadLetter', () => deadLetter({ store: drawLetters(draw, env, letters) })],
    ...policies<T>(draw, perLane, open, ordered),
  ];
  const { chosen, inOrder } = choose(draw, known);
  const parks = chosen.some(([name]) => name === 'deadLetter');
  const remembers = chosen.some(([name]) => name === 'idempotency');
  return {
    names: chosen.map(([name]) => name),
    inOrder,
    layers: chosen.map(([, make]) => make()),
    letters: parks ? letters : undefined,
    sharesKeys: remembers && sharesKeys,
    refuses: open === 'reject' && chosen.some(([name]) => name === 'breaker'),
    lingers: parks || remembers,
  };
}

/** Draws layers for reads: what writes park and remember has no place there. */
export function drawReadLayers<K, V>(draw: Draw): Pick<DrawnLayers<K>, 'names' | 'refuses'> & { layers: Layer<K, V>[] } {
  const open = draw.pick(['wait', 'reject', 'reject'] as const);
  const { chosen } = draw.chance(0.4) ? { chosen: [] } : choose(draw, policies<K, V>(draw, false, open));
  const has = (...names: string[]) => chosen.some(([name]) => names.includes(name));
  return {
    names: chosen.map(([name]) => name),
    layers: chosen.map(([, make]) => make()),
    refuses: open === 'reject' && has('breaker'),
  };
}

type Known<I, R> = readonly [string, () => Layer<I, R>];

/** The policies that reads and writes have in common, in the order of the documentation. */
function policies<I, R = number>(draw: Draw, perLane: boolean, open: 'wait' | 'reject', ordered = false): readonly Known<I, R>[] {
  return [
    [
      'retry',
      () =>
        retry({
          maxAttempts: draw.int(1, 4),
          baseMs: draw.pick([1, 10]),
          jitter: draw.pick(['half', 'full']),
          holdBlocked: draw.chance(0.1),
          maxWaiting: draw.pick([0, 1, 1000]),
          perLane,
          ...(draw.chance(0.2) ? { budget: { burst: 2, ratio: 0.5 } } : {}),
        }),
    ],
    [
      'bisect',
      () =>
        bisect({
          maxExtraCalls: draw.pick([2, 8, 1000]),
          ...(ordered || draw.chance(0.3) ? { inOrder: draw.pick(['goOn', 'halt']) } : {}),
        }),
    ],
    [
      'breaker',
      () =>
        breaker({
          maxFailures: draw.int(1, 4),
          cooldownMs: draw.pick([1, 30, 200]),
          open,
          perLane,
          ...(draw.chance(0.3) ? { failureRate: { ratio: 0.5, minCalls: 3, windowMs: 300 } } : {}),
        }),
    ],
    draw.chance(0.5)
      ? ['limit', () => limit({ maxInFlight: draw.int(1, 3) })]
      : ['adaptive', () => adaptive({ initialLimit: draw.int(1, 3), maxLimit: 6 })],
    ['rate', () => rate({ perSecond: draw.pick([20, 150]), burst: draw.int(1, 4), by: draw.pick(['calls', 'items']), perLane })],
    ['timeout', () => timeout({ timeoutMs: draw.pick([10, 50]), maxAbandoned: draw.int(1, 3) })],
  ];
}

/** Some of them, with observers here and there. */
function choose<I, R>(draw: Draw, known: readonly Known<I, R>[]): { chosen: Known<I, R>[]; inOrder: boolean } {
  const chosen = known.filter(() => draw.chance(0.4));
  // Observe changes nothing and may stand anywhere; and whatever the order is, every promise holds: only its meaning is another one.
  for (let i = draw.int(0, 2); i > 0; i--)
    chosen.splice(draw.int(0, chosen.length), 0, ['observe', () => observe({ label: String(i) })]);
  const inOrder = draw.chance(0.75);
  if (!inOrder) shuffle(draw, chosen);
  return { chosen, inOrder };
}

function shuffle<V>(draw: Draw, list: V[]): void {
  for (let i = list.length - 1; i > 0; i--) {
    const other = draw.int(0, i);
    [list[i], list[other]] = [list[other]!, list[i]!];
  }
}

/** A store of keys that answers at once, later, or not at all. */
function drawKeys(draw: Draw, env: Env): IdempotencyStore<number> {
  const store = memoryIdempotencyStore<number>({ env });
  if (draw.chance(0.5)) return store;
  const fails = draw.chance(0.3);
  const soon = async <V>(answer: () => V): Promise<V> => {
    await passed(draw.pick([0, 0, 3, 20]), env);
    if (fails && draw.chance(0.2)) throw new Error('the store of keys failed');
    return answer();
  };
  return {
    claim: (keys) => soon(() => store.claim(keys)),
    // What it claims it remembers, or gives back: a store that forgets a settlement would hold its key for good.
    settle: async (settlements) => {
      await passed(draw.pick([0, 3]), env);
      store.settle(settlements);
    },
  };
}

function drawLetters<T>(draw: Draw, env: Env, store: MemoryDeadLetterStore<T>): DeadLetterStore<T> {
  if (draw.chance(0.6)) return store;
  return {
    ...store,
    async park(letters) {
      await passed(draw.pick([0, 5, 30]), env);
      return store.park(letters);
    },
  };
}

async function passed(ms: number, env: Env): Promise<void> {
  if (ms === 0) await Promise.resolve();
  else await new Promise<void>((resolve) => void env.clock.after(ms, resolve));
}
