/**
 * Raw client: HTTP/1.1 over sockets, with as little work as a request and its answer can be. It shares the cores with what it measures:
 * a full client would cost more than the server does.
 */

import { connect } from 'node:net';

/**
 * Opens connections; `request(text)` resolves with the status and when to come back, in turn where all are busy. A connection that the server
 * has closed, as it does with one that rests for five seconds, is opened anew, and the request sent once more. The servers must send
 * Content-Length.
 */
export async function openClient(url, connections) {
  const { hostname, port } = new URL(url);
  const open = () => openConnection(hostname, Number(port));
  const all = await Promise.all(Array.from({ length: connections }, open));
  const free = all.map((_, index) => index);
  const waiting = [];

  async function request(text) {
    const index = free.pop() ?? (await new Promise((resolve) => waiting.push(resolve)));
    try {
      return await all[index].send(text).catch(async () => {
        all[index] = await open();
        return all[index].send(text);
      });
    } finally {
      const next = waiting.shift();
      if (next === undefined) free.push(index);
      else next(index);
    }
  }
  return {
    request,
    close() {
      for (const connection of all) connection.close();
    },
  };
}

/** The text of a request. */
export function requestText(method, path, body, contentType = 'application/json', key = undefined) {
  const authorization = key === undefined ? '' : `authorization: Bearer ${key}\r\n`;
  const head = `${method} ${path} HTTP/1.1\r\nhost: bench\r\n${authorization}`;
  if (body === undefined) return `${head}\r\n`;
  return `${head}content-type: ${contentType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

async function openConnection(host, port) {
  const socket = connect({ host, port, noDelay: true });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  let settle;
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => {
    text += chunk;
    const end = text.indexOf('\r\n\r\n');
    if (end === -1) return;
    const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
    if (length === undefined || text.length < end + 4 + Number(length)) return;
    const status = Number(text.slice(9, 12));
    const retryAfterMs = status === 200 ? 0 : Number(/\r\nretry-after-ms: (\d+)/i.exec(text)?.[1] ?? 50);
    const answer = { status, retryAfterMs, body: text.slice(end + 4) };
    text = '';
    settle?.resolve(answer);
  });
  const fail = (error) => settle?.reject(error);
  socket.on('error', fail);
  socket.on('close', () => fail(closed()));
  return {
    send: (request) =>
      new Promise((resolve, reject) => {
        // A write to it would fail silently.
        if (socket.destroyed) return reject(closed());
        settle = { resolve, reject };
        socket.write(request);
      }),
    close() {
      settle = undefined;
      socket.destroy();
    },
  };
}

const closed = () => new Error('the server closed the connection');
