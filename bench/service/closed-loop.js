/** Closed loop: each connection sends its next request when the last one is answered. */

import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openClient } from '../raw-client.js';
import { bareRequest, eventsPath, eventsRequest, wrkScript } from './bodies.js';

/** Whether wrk is there: it costs the shared cores a third of what the client in JavaScript does. */
export const hasWrk = spawnSync('wrk', ['--version']).error === undefined;

/** Events that were answered as asked, and how many a second; requests that were refused. `newRequest` makes the text of one. */
export async function closedLoop(url, { connections, ms, events, newRequest, asked }) {
  const client = await openClient(url, connections);
  const startedAt = performance.now();
  const until = startedAt + ms;
  let done = 0;
  let refused = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < until) {
        const { status, retryAfterMs } = await client.request(newRequest());
        if (status === asked) done += events;
        else if (status === 503 || status === 429) {
          refused++;
          await new Promise((resolve) => setTimeout(resolve, Math.min(retryAfterMs, until - performance.now())));
        } else throw new Error(`it was answered with ${status}, not ${asked}`);
      }
    }),
  );
  const perSecond = (done / (performance.now() - startedAt)) * 1000;
  client.close();
  return { done, perSecond, refused };
}

/** The same with the service's events at a level. */
export function eventsLoop(url, { ack, events, connections, ms }) {
  const newRequest = () => eventsRequest(ack, events);
  return closedLoop(url, { connections, ms, events, newRequest, asked: ack === 'accepted' ? 202 : 200 });
}

/** One event a request, by wrk where it is there. `ack`: `undefined` for the bare server. */
export async function singlesLoop(url, { ack, connections, ms }) {
  const path = ack === undefined ? '/' : eventsPath(ack);
  if (!hasWrk) {
    const newRequest = () => (ack === undefined ? bareRequest(1) : eventsRequest(ack, 1));
    return closedLoop(url, {
      connections,
      ms,
      events: 1,
      newRequest,
      asked: ack === undefined || ack === 'accepted' ? 202 : 200,
    });
  }
  const folder = await mkdtemp(join(tmpdir(), 'sluice-wrk-'));
  try {
    const script = join(folder, 'events.lua');
    await writeFile(script, wrkScript(path));
    const text = await wrk(['-t1', `-c${connections}`, `-d${Math.ceil(ms / 1000)}s`, '-s', script, url]);
    const [, requests, seconds] = /(\d+) requests in ([\d.]+)s/.exec(text) ?? [];
    if (requests === undefined || /Socket errors/.test(text)) throw new Error(`wrk: ${text}`);
    const refused = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
    return { perSecond: (Number(requests) - refused) / Number(seconds), refused };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function wrk(args) {
  const child = spawn('wrk', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  return new Promise((resolve, reject) => child.on('error', reject).on('close', () => resolve(text)));
}
