/** Accounts: what senders were told, held against what arrived at the sinks. */

/** The streams of a soak, each with its own kind of sink. */
export const streams = ['orders', 'calls', 'notes'] as const;

export type Stream = (typeof streams)[number];

/** How surely an event was acknowledged. */
export type Told = 'accepted' | 'durable' | 'committed';

/** What a pipeline's sink holds: how often each event is there. */
export interface Arrived {
  readonly pipeline: string;
  readonly stream: Stream;
  readonly counts: ReadonlyMap<string, number>;
  /** Ids of its dead letters. */
  readonly dead: ReadonlySet<string>;
  /** Writes the marked events off as dead letters; else it takes them all. */
  readonly refusesMarked: boolean;
  /** A crash or a lost reply may bring an event twice. */
  readonly mayDouble: boolean;
}

/** Keeps what senders were told. */
export interface Accounts {
  /** An event that is on its way; what becomes of it may never be known. */
  sent(stream: Stream, id: string): void;
  /** An event that was acknowledged, in the life of the service of this number. */
  told(stream: Stream, id: string, level: Told, life: number): void;
  /** A life of the service ended without a drain: what it had only accepted may be gone. */
  killed(life: number): void;
  readonly acknowledged: number;
  /** What is not as it was promised; empty when all is well. */
  compare(arrived: Arrived): string[];
  /** How many of the events that arrived came more than once. */
  doubled(arrived: Arrived): number;
}

/** An event that a table or a handler refuses for good says so in its id. */
export const isMarked = (id: string): boolean => id.endsWith('!');

/** Makes empty accounts. */
export function createAccounts(): Accounts {
  const sentIds = new Map(streams.map((stream) => [stream, new Set<string>()]));
  const toldLevels = new Map(streams.map((stream) => [stream, new Map<string, { level: Told; life: number }>()]));
  const killedLives = new Set<number>();
  return {
    sent: (stream, id) => void sentIds.get(stream)!.add(id),
    told(stream, id, level, life) {
      const known = toldLevels.get(stream)!;
      const before = known.get(id);
      if (before === undefined || before.level === 'accepted') known.set(id, { level, life });
    },
    killed: (life) => void killedLives.add(life),
    get acknowledged() {
      return [...toldLevels.values()].reduce((sum, ids) => sum + ids.size, 0);
    },
    compare(arrived) {
      const { pipeline, stream, counts, dead, refusesMarked, mayDouble } = arrived;
      const problems: string[] = [];
      const say = (what: string, ids: readonly string[]) => {
        if (ids.length > 0) problems.push(`${pipeline}: ${ids.length} ${what}: ${ids.slice(0, 5).join(', ')}`);
      };
      const isDead = (id: string) => refusesMarked && isMarked(id);
      const known = [...toldLevels.get(stream)!];
      const safe = known.filter(([, { level, life }]) => level !== 'accepted' || !killedLives.has(life)).map(([id]) => id);
      say(
        'acknowledged events are missing',
        safe.filter((id) => !isDead(id) && !counts.has(id)),
      );
      say(
        'acknowledged events that the sink refuses are no dead letters',
        safe.filter((id) => isDead(id) && !dead.has(id)),
      );
      say(
        'good events are dead letters',
        [...dead].filter((id) => !isDead(id)),
      );
      say(
        'refused events have arrived',
        [...counts.keys()].filter((id) => isDead(id)),
      );
      say(
        'events were never sent',
        [...counts.keys(), ...dead].filter((id) => !sentIds.get(stream)!.has(id)),
      );
      if (!mayDouble)
        say(
          'events have arrived more than once',
          [...counts].filter(([, times]) => times > 1).map(([id]) => id),
        );
      return problems;
    },
    doubled: ({ counts }) => [...counts.values()].filter((times) => times > 1).length,
  };
}
