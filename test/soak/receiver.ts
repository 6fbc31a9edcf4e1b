/** Receiver: the server behind an HTTP sink, and its bad days. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How it behaves: well, 503, no answer, takes the batch and breaks the connection, or refuses each third item for now. */
export type Mood = 'well' | 'refuses' | 'hangs' | 'forgets' | 'partly';

/** A receiver that listens. */
export interface Receiver {
  readonly url: string;
  mood: Mood;
  /** How often each event was taken. */
  readonly counts: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** Starts one on a free port. */
export async function startReceiver(): Promise<Receiver> {
  const counts = new Map<string, number>();
  const receiver = { mood: 'well' as Mood };
  const take = ({ id }: { readonly id: string }) => void counts.set(id, (counts.get(id) ?? 0) + 1);

  function answer(items: readonly { readonly id: string }[], response: ServerResponse): void {
    switch (receiver.mood) {
      case 'refuses':
        return void response.writeHead(503, { 'retry-after': '0' }).end();
      case 'hangs':
        return;
      case 'forgets':
        items.forEach(take);
        return void response.socket?.destroy();
      case 'partly': {
        const results = items.map((item, index) => {
          if (index % 3 === 2) return { status: 503, error: 'not now' };
          take(item);
          return { status: 200 };
        });
        return void response.writeHead(207, { 'content-type': 'application/json' }).end(JSON.stringify({ results }));
      }
      case 'well':
        items.forEach(take);
        return void response.writeHead(204).end();
    }
  }

  const server = createServer(async (request, response) => {
    response.on('error', () => {});
    try {
      answer(JSON.parse(await textOf(request)), response);
    } catch {
      // The service was killed in the middle of a request.
      response.socket?.destroy();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(receiver, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`,
    counts,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  });
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return text;
}
