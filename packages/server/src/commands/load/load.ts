/** `sluice load`: an open loop of requests against a gateway, measured from when each was to be sent. */

import { failure, systemEnv } from 'sluice';
import { Pool } from 'undici';
import { type CommandIo, processIo } from '../command-io.js';
import { connectionFailure } from '../connection.js';
import { createProgressLine } from '../progress-line.js';
import { createBodies } from './bodies.js';
import { Exchange, type ExchangeEnd } from './exchange.js';
import { pace } from './pace.js';
import { type LoadFlags, type Plan, planLoad } from './plan.js';
import { createRecorder, type Intent, type Recorder } from './record.js';
import { isClean, printResult, type Spans } from './result.js';
import { readTurns, turns } from './senders.js';

/** Options of {@link load}. */
export interface LoadOptions extends LoadFlags {
  readonly stream: string;
  readonly io?: CommandIo;
  /** Sends nothing more, as SIGINT does; what is under way is waited for, at most {@link interruptedMs}. */
  readonly signal: AbortSignal;
}

/** How long answers are waited for after an interrupt, in milliseconds. */
export const interruptedMs = 2_000;

/**
 * Sends a load and prints what became of it; resolves with the exit code: 1 when anything was refused, lost, not sent, or taken at a lower
 * level than was asked for, or when it was interrupted.
 *
 * @throws UsageError for flags that cannot be used together; SluiceError when no gateway answers before the load begins.
 */
export async function load({ io = processIo(), signal, stream, ...flags }: LoadOptions): Promise<number> {
  const plan = await planLoad(flags, stream);
  const timeoutMs = plan.timeout * 1_000;
  const pool = new Pool(plan.origin, {
    connections: plan.connections,
    pipelining: 1,
    connectTimeout: Math.min(10_000, timeoutMs),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  });
  try {
    await findGateway(pool, plan);
    const recorder = createRecorder(plan);
    const spans = await run(pool, plan, { recorder, io, signal });
    printResult(io, { plan, recorder, spans, json: flags.json ?? false });
    return isClean(recorder, spans) ? 0 : 1;
  } finally {
    await pool.destroy();
  }
}

async function findGateway(pool: Pool, { origin, healthPath }: Plan): Promise<void> {
  let status: number;
  try {
    const answer = await pool.request({ method: 'GET', path: healthPath });
    status = answer.statusCode;
    if (/"status"/.test(await answer.body.text()) && status === 200) return;
  } catch (error) {
    throw connectionFailure(error, { address: origin, option: '--url' });
  }
  throw failure(`${origin} is not a Sluice gateway (it answered ${status}); give the gateway's address with --url`, {
    code: 'NOT_A_GATEWAY',
  });
}

interface Run {
  readonly recorder: Recorder;
  readonly io: CommandIo;
  readonly signal: AbortSignal;
}

async function run(pool: Pool, plan: Plan, { recorder, io, signal }: Run): Promise<Spans> {
  const { clock } = systemEnv();
  const progress = createProgressLine(io.stderr, 'sluice load');
  const flight = createFlight(pool, plan, recorder, () => clock.now());
  const startedAt = clock.now();
  const measuredAt = startedAt + plan.warmupRequests * plan.intervalMs;
  await pace({ clock, intervalMs: plan.intervalMs, count: plan.requests, signal }, (dueAt, index) => {
    flight.send(dueAt, index >= plan.warmupRequests);
    progress.update(() => ({ text: progressText(plan, recorder, flight.underWay, clock.now() - startedAt) }));
  });
  const sentUntil = clock.now();
  const waitMs = signal.aborted ? interruptedMs : plan.timeout * 1_000;
  await flight.landed(waitMs, signal);
  progress.end();
  return {
    sentMs: Math.max(1, sentUntil - measuredAt),
    answeredMs: Math.max(1, flight.lastAnswerAt - measuredAt, sentUntil - measuredAt),
    interrupted: signal.aborted,
  };
}

/** Requests under way. */
interface Flight {
  readonly underWay: number;
  readonly lastAnswerAt: number;
  send(dueAt: number, measured: boolean): void;
  /** Resolves when none is under way any more, or when time is up; what is left then is lost. */
  landed(waitMs: number, signal: AbortSignal): Promise<void>;
}

function createFlight(pool: Pool, plan: Plan, recorder: Recorder, now: () => number): Flight {
  const bodies = createBodies({ format: plan.format, items: plan.batch, bytes: plan.bytes, run: plan.run });
  const type = plan.format === 'json' ? 'application/json' : 'application/x-ndjson';
  const eventHeaders = plan.senders.map(({ headers }) => ({ 'content-type': type, ...headers }));
  const nextSender = turns(plan.senders);
  const under = new Map<Exchange, { readonly intent: Intent; readonly body: Buffer | undefined }>();
  const isRead = readTurns(plan.reads, plan.senders.length);
  let readKey = 0;
  let lastAnswerAt = 0;
  let onEmpty = (): void => {};

  const leave = (exchange: Exchange): { readonly intent: Intent; readonly body: Buffer | undefined } | undefined => {
    const its = under.get(exchange);
    under.delete(exchange);
    if (under.size === 0) onEmpty();
    return its;
  };
  const end: ExchangeEnd = {
    answered(exchange) {
      lastAnswerAt = now();
      const its = leave(exchange);
      if (its === undefined) return;
      const { status, text, sentAt } = exchange;
      recorder.answered(its.intent, { status, text, sentAt, now: lastAnswerAt });
      if (its.body !== undefined) bodies.give(its.body);
    },
    lost(exchange, error) {
      // Its body is not used again: who knows what of it is still on its way.
      const its = leave(exchange);
      if (its !== undefined) recorder.lost(its.intent, (error as { code?: string }).code ?? error.name);
    },
  };
  return {
    get underWay() {
      return under.size;
    },
    get lastAnswerAt() {
      return lastAnswerAt;
    },
    send(dueAt, measured) {
      const sender = nextSender();
      const intent: Intent = { kind: isRead(sender) ? 'read' : 'events', dueAt, sender, measured };
      if (under.size >= plan.maxOutstanding) return recorder.notSent(intent);
      recorder.due(intent, now());
      const exchange = new Exchange(end);
      if (intent.kind === 'read') {
        const path = plan.readPaths[readKey++ % plan.readPaths.length]!;
        under.set(exchange, { intent, body: undefined });
        pool.dispatch({ method: 'GET', path, headers: plan.senders[intent.sender]!.headers }, exchange);
      } else {
        const body = bodies.take();
        under.set(exchange, { intent, body });
        pool.dispatch({ method: 'POST', path: plan.path, headers: eventHeaders[intent.sender]!, body }, exchange);
      }
    },
    async landed(waitMs, signal) {
      await new Promise<void>((resolve) => {
        if (under.size === 0) return resolve();
        const { clock } = systemEnv();
        const cancels = [clock.after(waitMs, resolve)];
        const hurry = (): void => void cancels.push(clock.after(interruptedMs, resolve));
        signal.addEventListener('abort', hurry, { once: true });
        onEmpty = () => {
          for (const cancel of cancels) cancel();
          signal.removeEventListener('abort', hurry);
          resolve();
        };
      });
      for (const { intent } of under.values()) recorder.lost(intent, 'NO_ANSWER');
      under.clear();
    },
  };
}

function progressText(plan: Plan, { events, reads }: Recorder, underWay: number, elapsedMs: number): string {
  const seconds = Math.min(plan.duration + plan.warmup, Math.round(elapsedMs / 1_000));
  const refused = events.counts.refused + reads.counts.refused;
  const lost = events.counts.lost + reads.counts.lost;
  const { p99 } = (plan.reads === 1 ? reads : events).times.latencies();
  return `${seconds} of ${plan.duration + plan.warmup} s, p99 ${p99} ms, ${underWay} under way, ${refused} refused, ${lost} lost`;
}
