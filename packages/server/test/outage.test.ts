/** A sink that is gone at full input: what is held stays bounded, the log grows to its bound, then 503; and back without a herd. */

import { expect, it } from 'vitest';
import { useServers } from '../../../test/servers.js';
import { useRunning } from './support/running.js';

const running = useRunning();
const servers = useServers();

/** An HTTP sink that is down until it is said to be up. */
async function startReceiver() {
  const receiver = { isUp: false, ids: [] as string[], calls: 0, under: 0, mostUnder: 0, ups: [] as number[] };
  const url = await servers.start(async (request, response) => {
    receiver.calls++;
    receiver.mostUnder = Math.max(receiver.mostUnder, ++receiver.under);
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    receiver.under--;
    if (!receiver.isUp) return void response.writeHead(503).end();
    const items = JSON.parse(text) as { readonly id: string }[];
    receiver.ups.push(receiver.under + 1);
    for (const { id } of items) receiver.ids.push(id);
    response.writeHead(204).end();
  });
  return Object.assign(receiver, { url: `${url}/` });
}

const maxLogBytes = 4 << 20;
const maxAheadBytes = 256 << 10;

it('R-25: takes events until the log is at its bound, then says when to come back, and loses and doubles none', async () => {
  const receiver = await startReceiver();
  const service = await running.start(
    `log: { maxBytes: ${maxLogBytes} }
pipelines:
  p:
    stream: events
    maxItems: 100
    maxInFlight: 2
    maxAheadBytes: ${maxAheadBytes}
    window: { maxDelayMs: 5 }
    retry: { baseMs: 5, maxDelayMs: 20 }
    breaker: { maxFailures: 3, cooldownMs: 100 }
    sink: { type: http, url: '${receiver.url}', idempotent: true }
`,
  );
  const acknowledged: string[] = [];
  let next = 0;
  const push = async (events: number) => {
    const ids = Array.from({ length: events }, () => `e${next++}`);
    const body = ids.map((id) => JSON.stringify({ id, pad: 'x'.repeat(1_000) })).join('\n');
    const headers = { 'content-type': 'application/x-ndjson' };
    const response = await fetch(`${service.url}/v1/streams/events/events`, { method: 'POST', body, headers });
    if (response.status === 200) acknowledged.push(...ids);
    return { status: response.status, retryAfter: response.headers.get('retry-after'), body: (await response.json()) as object };
  };
  let answer = await push(100);
  while (answer.status === 200) {
    const { aheadBytes, tally } = service.pipelines.all[0]!.consumer.status();
    expect(aheadBytes).toBeLessThanOrEqual(maxAheadBytes);
    expect(tally.held + tally.inFlight).toBeLessThanOrEqual(maxAheadBytes / 1_000);
    answer = await push(100);
  }
  expect(answer).toMatchObject({
    status: 503,
    retryAfter: expect.stringMatching(/^([1-9]|10)$/),
    body: { error: { code: 'LOG_FULL' } },
  });
  const stored = (await service.log.streams()).reduce((sum, { bytes }) => sum + bytes, 0);
  expect(stored).toBeGreaterThanOrEqual(maxLogBytes);
  expect(service.log.memoryOnly).toBe(0);
  expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
  expect((await fetch(`${service.url}/readyz`)).status).toBe(503);

  receiver.isUp = true;
  await expect.poll(async () => (await push(1)).status, { timeout: 30_000, interval: 100 }).toBe(200);
  await expect.poll(() => new Set(receiver.ids).size, { timeout: 30_000 }).toBe(acknowledged.length);
  expect(receiver.ids.length).toBe(acknowledged.length);
  // The breaker sends one call ahead, and never more than maxInFlight follow it.
  expect(receiver.ups[0]).toBe(1);
  expect(receiver.mostUnder).toBeLessThanOrEqual(2);
}, 120_000);
