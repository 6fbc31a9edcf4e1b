/** Senders: clients of several tenants that push at every level, try again, give up, and vanish in the middle of a body. */

import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Draw } from '../torture/draw.js';
import { type Accounts, isMarked, type Stream, streams, type Told } from './accounts.js';
import { type Setting, type Tenant, tenants } from './configuration.js';

/** What senders are given. */
export interface SenderParts {
  readonly setting: Setting;
  readonly accounts: Accounts;
  readonly draw: Draw;
  /** The number of the service's present life. */
  readonly life: () => number;
  readonly problem: (text: string) => void;
}

/** Senders at work. */
export interface Senders {
  /** How many requests were answered so: by status, with the code of a refusal; 'none': no answer. */
  readonly answers: ReadonlyMap<string, number>;
  /** A client that sends half a body, and one that does not wait for its answer. */
  vanish(): Promise<void>;
  stop(): Promise<void>;
}

interface Request {
  readonly stream: Stream;
  readonly ids: readonly string[];
  readonly body: string;
  readonly ack: Told;
}

/** Starts two senders a tenant. */
export function startSenders(parts: SenderParts): Senders {
  const { setting, accounts, draw, life, problem } = parts;
  const answers = new Map<string, number>();
  const count = (kind: string) => void answers.set(kind, (answers.get(kind) ?? 0) + 1);
  let running = true;
  let made = 0;

  function newRequest(tenant: Tenant): Request {
    const stream = draw.pick(streams);
    const count = draw.chance(0.3) ? 1 : draw.int(2, 120);
    const ids = Array.from({ length: count }, () => `${tenant}-${made++}${draw.chance(0.01) ? '!' : ''}`);
    for (const id of ids) accounts.sent(stream, id);
    const lines = ids.map((id) => JSON.stringify({ id, customer: `c${draw.int(1, 40)}`, marked: isMarked(id) }));
    return { stream, ids, body: `${lines.join('\n')}\n`, ack: draw.pick(['accepted', 'durable', 'durable', 'committed']) };
  }

  async function send(tenant: Tenant, request: Request): Promise<boolean> {
    const { stream, body, ack } = request;
    const of = life();
    try {
      const response = await fetch(`http://127.0.0.1:${setting.port}/v1/streams/${stream}/events?ack=${ack}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson', authorization: `Bearer ${setting.keys[tenant].key}` },
        body,
        signal: AbortSignal.timeout(10_000),
      });
      const answer = (await response.json()) as Answer;
      count(`${response.status} ${answer.error?.code ?? ''}`.trim());
      if (response.status === 429 || response.status === 503) return false;
      note(request, of, response.status, answer);
      return true;
    } catch {
      count('none');
      return false;
    }
  }

  function note({ ids, stream }: Request, of: number, status: number, answer: Answer): void {
    const { ack, accepted, duplicates, rejected, errors = [] } = answer;
    if (![200, 202, 207].includes(status) || accepted + duplicates + rejected !== ids.length || rejected !== 0) {
      problem(`${ids.length} good items were answered with ${status} ${JSON.stringify(answer).slice(0, 300)}`);
      return;
    }
    for (const { index, code } of errors)
      if (code !== 'DEAD_LETTERED' || !isMarked(ids[index]!)) problem(`the good item ${ids[index]} was answered with ${code}`);
    for (const id of ids) accounts.told(stream, id, ack, of);
  }

  async function work(tenant: Tenant): Promise<void> {
    while (running) {
      const request = newRequest(tenant);
      const patience = draw.chance(0.2) ? 1 : 1_000;
      for (let tries = 0; tries < patience && running; tries++) {
        if (await send(tenant, request)) break;
        await sleep(100);
      }
      await sleep(draw.int(0, 40));
    }
  }

  const workers = tenants.flatMap((tenant) => [work(tenant), work(tenant)]);
  return {
    answers,
    async vanish() {
      const tenant = draw.pick(tenants);
      const { stream, body } = newRequest(tenant);
      const half = draw.chance(0.5);
      const socket = connect(setting.port, '127.0.0.1').on('error', () => {});
      socket.write(
        `POST /v1/streams/${stream}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${setting.keys[tenant].key}\r\n` +
          `content-type: application/x-ndjson\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`,
      );
      socket.write(half ? body.slice(0, body.length / 2) : body);
      await sleep(draw.int(0, 20));
      const closed = once(socket, 'close');
      socket.resetAndDestroy();
      await closed;
    },
    async stop() {
      running = false;
      await Promise.all(workers);
    },
  };
}

interface Answer {
  readonly ack: Told;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly error?: { readonly code: string };
  readonly errors?: readonly { readonly index: number; readonly code: string }[];
}
