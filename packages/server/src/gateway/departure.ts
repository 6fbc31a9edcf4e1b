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
  if (response.closed || socket.closed) {
    fn();
    return;
  }
  const waiting = waitersOf(socket);
  lastOn.set(socket, response);
  const once = (): void => {
    response.removeListener('close', once);
    if (waiting.delete(once)) fn();
  };
  waiting.set(once, response);
  response.once('close', once);
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
  return [...new Set(waiters.get(socket)?.values())];
}

/** The response to the newest request of a connection, complete or not. */
export function lastResponseOn(socket: Socket): ServerResponse | undefined {
  return lastOn.get(socket);
}

const lastOn = new WeakMap<Socket, ServerResponse>();

/** One listener a connection, however many requests are pipelined on it. */
const waiters = new WeakMap<Socket, Map<() => void, ServerResponse>>();

function waitersOf(socket: Socket): Map<() => void, ServerResponse> {
  const known = waiters.get(socket);
  if (known !== undefined) return known;
  const waiting = new Map<() => void, ServerResponse>();
  waiters.set(socket, waiting);
  socket.once('close', () => {
    for (const gone of [...waiting.keys()]) gone();
  });
  return waiting;
}
