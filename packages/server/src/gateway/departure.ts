/** Departure: the end of a response, whichever way it ends. */

import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Runs `fn` once, when a response is closed or its connection is gone.
 *
 * The response alone does not say so: when the client destroys a connection on which several requests are pipelined, the
 * responses behind the first one are never closed.
 */
export function whenGone(response: ServerResponse, fn: () => void): void {
  const { socket } = response.req;
  if (response.closed || socket.closed) fn();
  else openOn(connectionOf(socket), response).waiting.push(fn);
}

/** Aborted when the client leaves before its answer is complete. */
export function signalOf(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  whenGone(response, () => {
    if (!response.writableFinished) controller.abort();
  });
  return controller.signal;
}

/** The responses of a connection that are not complete, in the order of their requests. */
export function responsesOn(socket: Socket): readonly ServerResponse[] {
  return connections.get(socket)?.open.map(({ response }) => response) ?? [];
}

/** The response to the newest request of a connection, complete or not. */
export function lastResponseOn(socket: Socket): ServerResponse | undefined {
  return connections.get(socket)?.last;
}

/** A response that is not complete, and who waits for its end. */
interface Open {
  readonly response: ServerResponse;
  readonly waiting: (() => void)[];
}

/** One listener a connection and one a response, however many wait: most requests of a service are so small that listeners weigh. */
interface Connection {
  readonly open: Open[];
  last: ServerResponse | undefined;
}

const connections = new WeakMap<Socket, Connection>();

function connectionOf(socket: Socket): Connection {
  const known = connections.get(socket);
  if (known !== undefined) return known;
  const connection: Connection = { open: [], last: undefined };
  connections.set(socket, connection);
  socket.once('close', () => {
    for (const one of connection.open.slice()) end(connection, one);
  });
  return connection;
}

function openOn(connection: Connection, response: ServerResponse): Open {
  // The newest request is nearly always the one that is asked about.
  for (let at = connection.open.length - 1; at >= 0; at--) {
    const one = connection.open[at]!;
    if (one.response === response) return one;
  }
  const one: Open = { response, waiting: [] };
  connection.open.push(one);
  connection.last = response;
  response.on('close', () => end(connection, one));
  return one;
}

/** Does nothing the second time: a response and its connection both end. */
function end(connection: Connection, one: Open): void {
  const at = connection.open.indexOf(one);
  if (at < 0) return;
  connection.open.splice(at, 1);
  for (const fn of one.waiting) fn();
}
