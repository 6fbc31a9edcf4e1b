/** Listening: a server on its port, or one sentence that says why not and what to do. */

import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { failure, type SluiceError } from 'sluice';

/**
 * Listens; the app is closed again when it cannot.
 *
 * @returns the port, which is a free one where 0 was asked for.
 * @throws SluiceError `LISTEN_FAILED`
 */
export async function listen(app: FastifyInstance, host: string, port: number): Promise<number> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    throw listenFailure(error, host, port);
  }
  return (app.server.address() as AddressInfo).port;
}

function listenFailure(error: unknown, host: string, port: number): SluiceError {
  return failure(sentence(error, host, port), { code: 'LISTEN_FAILED', class: 'permanent', cause: error });
}

function sentence(error: unknown, host: string, port: number): string {
  const { code, message } = error as { code?: string; message?: string };
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is in use by another program; stop that, or choose another port`;
    case 'EACCES':
      return `port ${port} on ${host} may not be used by this user; choose a port above 1023`;
    case 'EADDRNOTAVAIL':
      return `${host} is not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all of its addresses`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the host name ${host} cannot be resolved; use an address such as 127.0.0.1`;
    default:
      return `cannot listen on ${host}:${port}: ${message ?? String(error)}`;
  }
}
