/** A small pooler as PgBouncer is in transaction mode: a client has a server session only while a transaction of its own is open. */

import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import pg from 'pg';

export interface TransactionPooler {
  readonly connectionString: string;
  /** How often a client was lent another session than the last time. */
  switches(): number;
  stop(): Promise<void>;
}

/** A server session that logged in through `pg`, of which we then use the socket. */
interface Session {
  readonly client: pg.Client;
  readonly socket: Socket;
  free: boolean;
}

const startup = 0;
const readyForQuery = 0x5a;

/** Starts it in front of a server, with so many sessions. Clients need no password. */
export async function startTransactionPooler(connectionString: string, sessionCount: number): Promise<TransactionPooler> {
  const sessions = await Promise.all(Array.from({ length: sessionCount }, () => openSession(connectionString)));
  const asking: (() => void)[] = [];
  const sockets = new Set<Socket>();
  let switches = 0;

  const lend = async (): Promise<Session> => {
    for (;;) {
      const session = sessions.find(({ free }) => free);
      if (session !== undefined) {
        session.free = false;
        return session;
      }
      await new Promise<void>((resolve) => asking.push(resolve));
    }
  };

  function serve(client: Socket): void {
    sockets.add(client);
    client.on('error', () => client.destroy());
    let session: Session | undefined;
    let last: Session | undefined;
    let isLending = false;
    let waiting: Buffer[] = [];
    const fromServer = splitter('server', (message) => {
      client.write(message);
      // Idle again: no transaction is open, so the session goes to whoever asks next.
      if (message[0] === readyForQuery && message[5] === 0x49 && session !== undefined) {
        const done = session;
        session = undefined;
        done.socket.removeAllListeners('data');
        done.free = true;
        asking.shift()?.();
      }
    });
    const fromClient = splitter('client', (message) => {
      if (message[0] === 0x58) return void client.end();
      if (session !== undefined) return void session.socket.write(message);
      waiting.push(message);
      if (isLending) return;
      isLending = true;
      void lend().then((lent) => {
        isLending = false;
        session = lent;
        if (last !== undefined && last !== lent) switches++;
        last = lent;
        lent.socket.removeAllListeners('data');
        lent.socket.on('data', fromServer);
        for (const held of waiting) lent.socket.write(held);
        waiting = [];
      });
    });
    client.on('data', fromClient);
  }

  const server = createServer(serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(connectionString);
  url.port = String((server.address() as { port: number }).port);
  return {
    connectionString: url.href,
    switches: () => switches,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await Promise.all(sessions.map(({ client }) => client.end()));
    },
  };
}

async function openSession(connectionString: string): Promise<Session> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  const { stream } = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection;
  stream.removeAllListeners('data');
  return { client, socket: stream, free: true };
}

/** Cuts a stream of bytes into messages; answers a client's login by itself. */
function splitter(from: 'client' | 'server', onMessage: (message: Buffer) => void): (this: Socket, bytes: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  let state = from === 'client' ? startup : 1;
  return function (bytes) {
    rest = Buffer.concat([rest, bytes]);
    for (;;) {
      const head = state === startup ? 0 : 1;
      if (rest.length < head + 4) return;
      const length = head + rest.readInt32BE(head);
      if (rest.length < length) return;
      const message = rest.subarray(0, length);
      rest = rest.subarray(length);
      if (state !== startup) onMessage(message);
      else {
        state = 1;
        // Authentication is fine, the server speaks UTF-8, and it is ready.
        this.write(
          Buffer.concat([
            Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0]),
            Buffer.from('S\0\0\0\x19client_encoding\0UTF8\0', 'latin1'),
            Buffer.from([0x5a, 0, 0, 0, 5, 0x49]),
          ]),
        );
      }
    }
  };
}
