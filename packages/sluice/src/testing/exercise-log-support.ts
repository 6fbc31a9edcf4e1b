/** What the parts of the suite for logs share: the log under test, and made events. */

import type { Env } from '../env/env.js';
import type { DeadLetter, DeadLetterBounds, DeadLetterFilter, NewDeadLetter } from '../log/dead-letter.js';
import type { Log } from '../log/log.js';
import type { Claim, GroupPosition, Moves } from '../log/position.js';
import type { Appended, LogRecord, NewEvent } from '../log/record.js';
import type { StreamOptions } from '../log/stream-options.js';

/** A log under test. */
export interface LogUnderTest {
  readonly log: Log;
  /** Closes the log and opens it again over the same data; left out where nothing outlives the log. */
  reopen?(): Promise<Log>;
  /** Closes what is open and removes what was made. */
  dispose(): Promise<void>;
}

/** What the suite sets, to test it. */
export interface LogUnderTestOptions {
  /** Time, randomness, observation: a test moves the time. Default: the system's. */
  readonly env?: Env;
  /** Options of streams that the suite does not define. Default: the log's own. */
  readonly streamDefaults?: StreamOptions;
  /** Bounds of the dead letters. Default: the log's own. */
  readonly deadLetters?: DeadLetterBounds;
  /** Events that the log holds in memory at most. Default: the log's own. */
  readonly maxHeldItems?: number;
}

/** The functions of a test framework: vitest's and jest's fit. */
export interface TestFunctions {
  describe(name: string, fn: () => void): unknown;
  it(name: string, fn: () => Promise<void>): unknown;
  expect(actual: unknown): {
    toEqual(expected: unknown): void;
    toBe(expected: unknown): void;
    toMatchObject(expected: object): void;
  };
}

/** How a part of the suite declares its tests. */
export interface LogSuite extends TestFunctions {
  readonly name: string;
  test(
    sentence: string,
    body: (log: Log, reopen: (() => Promise<Log>) | undefined) => Promise<void>,
    options?: LogUnderTestOptions,
  ): void;
  /** The body before and after a restart, where the log has one. */
  testRestart(
    sentence: string,
    body: (log: Log, restarted: () => Promise<Log>) => Promise<void>,
    options?: LogUnderTestOptions,
  ): void;
}

/** The suite over one kind of log. */
export function logSuite(
  name: string,
  open: (options: LogUnderTestOptions) => Promise<LogUnderTest>,
  functions: TestFunctions,
): LogSuite {
  const test: LogSuite['test'] = (sentence, body, options = {}) => {
    functions.it(sentence, async () => {
      const under = await open(options);
      try {
        await body(under.log, under.reopen?.bind(under));
      } finally {
        await under.dispose();
      }
    });
  };
  const testRestart: LogSuite['testRestart'] = (sentence, body, options) =>
    test(sentence, (log, reopen) => body(log, reopen ?? (async () => log)), options);
  return { name, ...functions, test, testRestart };
}

/** Bounds of a read that takes everything. */
export const all = { maxItems: 1_000_000, maxBytes: Number.POSITIVE_INFINITY };

/** An event. */
export function event(id: string, more: Partial<NewEvent> = {}): NewEvent {
  return { id, tenant: '_', time: null, receivedAt: 1_700_000_000_000, payload: Buffer.from(`{"id":"${id}"}`), ...more };
}

/** Events `<prefix>0`, `<prefix>1`, … */
export function many(prefix: string, count: number, more: Partial<NewEvent> = {}): NewEvent[] {
  return Array.from({ length: count }, (_, i) => event(`${prefix}${i}`, more));
}

/** Appends, and answers what became of each event. */
export async function append(log: Log, stream: string, events: readonly NewEvent[]): Promise<readonly Appended[]> {
  return (await log.append(stream, events)).appended;
}

/** Moves a group in partition 0 of a stream, claiming it first. */
export async function settle(
  log: Log,
  group: string,
  stream: string,
  position: GroupPosition,
  moves: Moves<NewDeadLetter> = {},
): Promise<Claim> {
  const claim = await log.claim(group, stream, 0);
  await log.settle(claim, { position, ...moves });
  return claim;
}

/** Letters that a filter means. */
export async function page(log: Log, filter: DeadLetterFilter = {}, limit = 100): Promise<readonly DeadLetter[]> {
  return (await log.letters.page({ filter, limit })).letters;
}

/** A letter to park. */
export function dead(record: LogRecord, code: string, more: Partial<NewDeadLetter> = {}): NewDeadLetter {
  return {
    record,
    code,
    class: 'permanent',
    message: 'refused',
    attempts: 3,
    timeouts: 1,
    crashes: 2,
    tries: [{ at: 10, class: 'transient', code: 'DOWN', message: 'no answer' }],
    firstFailedAt: 10,
    lastFailedAt: 20,
    ...more,
  };
}

/** The record that an event becomes. */
export function recordOf(event: NewEvent, stream: string, partition: number, offset: number): LogRecord {
  const { id, tenant, time, receivedAt, payload, key = null, trace = null, redrive = null } = event;
  return { stream, partition, offset, id, tenant, key, time, receivedAt, trace, redrive, payload };
}

/** Payloads of logs differ in their class, never in their bytes. */
export function plain({ payload, ...record }: LogRecord): object {
  return { ...record, payload: [...payload] };
}

/** The code that a promise rejects with. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'no error',
    (error: { code?: unknown }) => error.code,
  );
}
