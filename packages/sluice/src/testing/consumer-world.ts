/** Consumer world: a log in memory, a sink that a test plays, and consumers on them, for the tests of consumers. */

import { createConsumer } from '../log/consumer.js';
import type { Consumer } from '../log/consumer-contract.js';
import type { ConsumerOptions } from '../log/consumer-options.js';
import type { Log } from '../log/log.js';
import { createMemoryLog, type MemoryLogOptions } from '../log/memory-log.js';
import type { LogRecord, NewEvent } from '../log/record.js';
import { type ScriptedSink, scriptedSink } from './scripted-sink.js';
import { type TestEnv, testEnv } from './test-env.js';

/** Events `e0`, `e1` … with their numbers as payload. */
export function eventsOf(from: number, count: number, more: (n: number) => Partial<NewEvent> = () => ({})): NewEvent[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `e${from + i}`,
    tenant: '_',
    time: null,
    receivedAt: 0,
    payload: new TextEncoder().encode(`{"n":${from + i}}`),
    ...more(from + i),
  }));
}

/** What a test plays with. */
export interface ConsumerWorld {
  readonly env: TestEnv;
  readonly log: Log;
  readonly sink: ScriptedSink<LogRecord, undefined>;
  start(more?: Partial<ConsumerOptions>): Promise<Consumer>;
  /** Appends events `from` to `from + count - 1`. */
  append(from: number, count: number, more?: (n: number) => Partial<NewEvent>): Promise<unknown>;
  /** The ids of what was written, call by call. */
  calls(): string[][];
  drained(consumer: Consumer, deadlineMs?: number): ReturnType<Consumer['drain']>;
}

/** Options of {@link consumerWorld}: those of its consumers, and what the sink answers by itself. */
export interface ConsumerWorldOptions extends Partial<ConsumerOptions> {
  readonly answer?: (records: readonly LogRecord[], call: number) => void | readonly (undefined | Error)[];
  readonly partitions?: number;
  readonly logOptions?: Omit<MemoryLogOptions, 'env'>;
  readonly testEnv?: TestEnv;
}

/** Makes a world with the stream `events` and the group `g`. */
export async function consumerWorld(options: ConsumerWorldOptions = {}): Promise<ConsumerWorld> {
  const { answer, partitions = 1, logOptions, testEnv: given, ...rest } = options;
  const env = given ?? testEnv();
  const log = rest.log ?? createMemoryLog({ ...logOptions, env });
  await log.defineStream('events', { partitions });
  const sink = scriptedSink<LogRecord, undefined>({ idempotent: true, ...(answer === undefined ? {} : { answer }) });
  return {
    env,
    log,
    sink,
    start: (more = {}) => createConsumer({ log, stream: 'events', group: 'g', sink, env, ...rest, ...more }),
    append: (from, count, more) => log.append('events', eventsOf(from, count, more)),
    calls: () => sink.calls.map((call) => call.items.map((record) => record.id)),
    async drained(consumer, deadlineMs = 1000) {
      const report = consumer.drain({ deadlineMs });
      await env.clock.advance(deadlineMs + 1);
      return report;
    },
  };
}
