/** Model: what a consumer of the durable log must do with every record, whatever dies in between. */

import { holds, type LogRecord, type MemoryStore } from 'sluice/log';

/** What became of a record, for all that the sink of a group knows, since the group was last put somewhere. */
type Fate = 'nothing' | 'taken' | 'refused' | 'passed';

/** A promise that was broken. */
export interface Broken {
  readonly invariant: 'lost' | 'invented' | 'order' | 'settledTwice' | 'redrive' | 'lag' | 'rest';
  readonly atMs: number;
  readonly what: string;
}

/** A call of a sink, and how often its group had been put somewhere in each partition when it began. */
export interface ModelCall {
  readonly group: string;
  readonly at: number;
  readonly seeks: readonly number[];
}

/** Watches the sinks and the store. */
export interface LogModel {
  readonly broken: readonly Broken[];
  /** A call of a group's sink begins; what it gives back names the call. */
  begins(group: string, records: readonly LogRecord[]): ModelCall;
  /** The sink has taken a record, or said that it never will. */
  ends(call: ModelCall, record: LogRecord, fate: 'taken' | 'refused'): void;
  /** A group was put to this offset: what lies behind it is owed again, what lies before it is not. */
  sought(group: string, partition: number, offset: number): void;
  /** What was offered to the log. */
  offered(id: string, text: string): void;
  report(invariant: Broken['invariant'], what: string): void;
  /** All is over, nothing fails any more and everything has been delivered. */
  rest(groups: readonly string[]): void;
}

/** A model of the groups of a stream. The store keeps every record: a group that settles nothing sees to that. */
export function logModel(store: MemoryStore, stream: string, now: () => number): LogModel {
  const broken: Broken[] = [];
  const fates = new Map<string, Fate>();
  const seeks = new Map<string, number>();
  const lastSeekAt = new Map<string, number>();
  const seeksOf = (group: string, partition: number) => seeks.get(`${group}/${partition}`) ?? 0;
  const texts = new Map<string, string>();
  const keyOf = (group: string, partition: number, offset: number) => `${group}/${partition}/${offset}`;
  const partitions = () => store.streams.get(stream)?.partitions ?? [];
  const fateOf = (group: string, { partition, offset }: LogRecord): Fate =>
    fates.get(keyOf(group, partition, offset)) ?? 'nothing';
  const report = (invariant: Broken['invariant'], what: string) => broken.push({ invariant, atMs: now(), what });
  const nameOf = (group: string, record: LogRecord) => `${group}: ${record.id} at ${record.partition}/${record.offset}`;

  function letterOf(group: string, record: LogRecord) {
    return [...store.letters.values()].find(
      (letter) =>
        letter.group === group && letter.record.partition === record.partition && letter.record.offset === record.offset,
    );
  }

  function isFor(group: string, record: LogRecord): boolean {
    return (record.redrive?.group ?? group) === group;
  }

  function isSettled(group: string, record: LogRecord): boolean {
    const state = store.streams.get(stream)!.groups.get(group)?.[record.partition]?.state;
    if (state === undefined) return false;
    const { cursor, settledAbove } = state.position;
    return record.offset < cursor || holds(settledAbove, record.offset);
  }

  /** It was in flight at so many crashes that it may be parked without a call. */
  function maybePoison(group: string, record: LogRecord): boolean {
    const { suspects } = store.streams.get(stream)!.groups.get(group)![record.partition]!.state;
    const suspect = suspects.find(({ first, last }) => first <= record.offset && record.offset <= last);
    return (suspect?.crashes ?? 0) > 3 || letterOf(group, record)?.code === 'POISON';
  }

  return {
    broken,
    report,
    begins(group, records) {
      for (const record of records) {
        if (texts.get(record.id) !== new TextDecoder().decode(record.payload)) report('invented', nameOf(group, record));
        if (isSettled(group, record)) report('settledTwice', `${nameOf(group, record)} is settled, and delivered again`);
        if (!isFor(group, record)) report('redrive', `${nameOf(group, record)} is a redrive for another group`);
      }
      return { group, at: now(), seeks: partitions().map((_, partition) => seeksOf(group, partition)) };
    },
    ends({ group, at, seeks: before }, record, fate) {
      const isSought = before[record.partition] !== seeksOf(group, record.partition);
      // What was called before a seek may still be taken after it. If it is owed, it is delivered again, in its place.
      if (!isSought || fate === 'taken') fates.set(keyOf(group, record.partition, record.offset), fate);
      // The same of a seek at the instant of the call, which may have come after the call was allowed.
      if (record.key === null || isSought || lastSeekAt.get(`${group}/${record.partition}`) === at) return;
      for (const { record: earlier } of partitions()[record.partition]!.records) {
        if (earlier.offset >= record.offset) break;
        if (earlier.key !== record.key || !isFor(group, earlier) || fateOf(group, earlier) !== 'nothing') continue;
        if (maybePoison(group, earlier)) continue;
        report('order', `${nameOf(group, record)} came before ${earlier.id} at offset ${earlier.offset}`);
      }
    },
    sought(group, partition, offset) {
      seeks.set(`${group}/${partition}`, seeksOf(group, partition) + 1);
      lastSeekAt.set(`${group}/${partition}`, now());
      for (const { record } of partitions()[partition]!.records) {
        fates.set(keyOf(group, partition, record.offset), record.offset < offset ? 'passed' : 'nothing');
      }
    },
    offered: (id, text) => void texts.set(id, text),
    rest(groups) {
      const redrives = new Map<string, number>();
      for (const { records } of partitions()) {
        for (const { record } of records) {
          if (record.redrive !== null) redrives.set(record.redrive.id, (redrives.get(record.redrive.id) ?? 0) + 1);
        }
      }
      // A letter that was sent again may have been purged since: its record stands for it.
      const wasSent = (group: string, place: string) => {
        for (const id of redrives.keys()) if (id.startsWith(`${group.length}:${group}/${stream}/${place}`)) return true;
        return false;
      };
      for (const { records } of partitions()) {
        for (const { record } of records) {
          for (const group of groups) {
            if (!isSettled(group, record)) report('lag', `${nameOf(group, record)} is not settled at the end`);
            const fate = fateOf(group, record);
            if (!isFor(group, record) || fate === 'taken' || fate === 'passed') continue;
            if (letterOf(group, record) !== undefined || wasSent(group, `${record.partition}/${record.offset}@`)) continue;
            report('lost', `${nameOf(group, record)}: ${fate}, and no letter`);
          }
        }
      }
      for (const [id, times] of redrives) if (times > 1) report('redrive', `${id} is in the log ${times} times`);
      for (const letter of store.letters.values()) {
        if (letter.redrives === 0) continue;
        const { partition, offset } = letter.record;
        const sent = wasSent(letter.group, `${partition}/${offset}@${letter.firstParkedAt}#`);
        if (!sent) report('redrive', `${letter.id} is marked as redriven, and was never sent`);
      }
    },
  };
}
