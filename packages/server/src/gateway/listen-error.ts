/** Why a server could not listen, as one sentence that says what to do. */

import { failure, type SluiceError } from 'sluice';

/** Turns the error of a `listen` into a `LISTEN_FAILED` that a person can act on. */
export function listenFailure(error: unknown, host: string, port: number): SluiceError {
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
