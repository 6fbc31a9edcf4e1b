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
  else wait(openOn(connectionOf(socket), response), fn);
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
  return Array.from((socket as Tracked)[tracked]?.open ?? [], ({ response }) => response);
}

/** How many responses of a connection are not complete. */
export function unansweredOn(socket: Socket): number {
  return (socket as Tracked)[tracked]?.open.size ?? 0;
}

/** The response to the newest request of a connection, complete or not. */
export function lastResponseOn(socket: Socket): ServerResponse | undefined {
  return (socket as Tracked)[tracked]?.last;
}

/** A response that is not complete, and who waits for its end: a list, of which an array for one or two would be five times as large. */
interface Open {
  readonly response: ServerResponse;
  first: Waiting | undefined;
  last: Waiting | undefined;
}

interface Waiting {
  readonly fn: () => void;
  next: Waiting | undefined;
}

/** One listener a connection and one a response, however many wait: most requests of a service are so small that listeners weigh. */
interface Connection {
  /** In the order of their requests. */
  readonly open: Set<Open>;
  last: ServerResponse | undefined;
}

/** A property of the socket: to look it up in a WeakMap, twice a request, costs a thirtieth of the request. */
const tracked = Symbol('responses of the connection');

interface Tracked extends Socket {
  [tracked]?: Connection;
}

/** A property of the response: to look for it among the others would let a client that sends thousands ahead take the thread for itself. */
const own = Symbol('who waits for the response');

interface Awaited extends ServerResponse {
  [own]?: Open;
}

function connectionOf(socket: Tracked): Connection {
  const known = socket[tracked];
  if (known !== undefined) return known;
  const connection: Connection = { open: new Set(), last: undefined };
  socket[tracked] = connection;
  socket.once('close', () => {
    for (const one of [...connection.open]) end(connection, one);
  });
  return connection;
}

function openOn(connection: Connection, response: Awaited): Open {
  const known = response[own];
  if (known !== undefined) return known;
  const one: Open = { response, first: undefined, last: undefined };
  response[own] = one;
  connection.open.add(one);
  connection.last = response;
  response.on('close', onClose);
  return one;
}

function wait(one: Open, fn: () => void): void {
  const waiting = { fn, next: undefined };
  if (one.last === undefined) one.first = waiting;
  else one.last.next = waiting;
  one.last = waiting;
}

/** One for all responses: a closure for each would live as long as the request. */
function onClose(this: Awaited): void {
  const one = this[own];
  if (one !== undefined) end(connectionOf(this.req.socket), one);
}

/** Does nothing the second time: a response and its connection both end. */
function end({ open }: Connection, one: Open): void {
  if (!open.delete(one)) return;
  for (let waiting = one.first; waiting !== undefined; waiting = waiting.next) waiting.fn();
}
