/** Connection: why a request has no reply, as one sentence that says what to do. */

import { failure, type SluiceError } from 'sluice';

/** Where a request went, and how the user said so. */
export interface Destination {
  /** Such as `http://127.0.0.1:8080`. */
  readonly address: string;
  /** The option that gives the address: `--url` or `--control`. */
  readonly option: string;
}

/**
 * What a failed request means. `UNREACHABLE`: nothing was sent; `transient` where it may help to try again, else `permanent`.
 * `REPLY_LOST`, `unknown`: the request may have been carried out.
 */
export function connectionFailure(thrown: unknown, { address, option }: Destination): SluiceError {
  const { code = '', message } = (thrown instanceof AggregateError ? (thrown.errors[0] ?? thrown) : thrown) as Error & {
    code?: string;
  };
  const host = new URL(address).hostname;
  const unreachable = (sentence: string, again: 'transient' | 'permanent'): SluiceError =>
    failure(sentence, { code: 'UNREACHABLE', class: again, cause: thrown });
  if (code === 'ENOTFOUND') return unreachable(`there is no host ${host}; check ${option}`, 'permanent');
  if (code === 'EAI_AGAIN') return unreachable(`the name of the host ${host} cannot be resolved now`, 'transient');
  if (neverConnected.has(code))
    return unreachable(
      `nothing answers at ${address}; start \`sluice up\` there, or give another address with ${option}`,
      'transient',
    );
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
    const plain = address.replace('https:', 'http:');
    return unreachable(
      `there is no secure connection to ${address}; if it speaks plain http, give ${option} ${plain}`,
      'permanent',
    );
  }
  if (/^(ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code))
    return unreachable(`the certificate of ${address} is not accepted: ${message}`, 'permanent');
  if (code.startsWith('HPE_')) return unreachable(`${address} does not speak HTTP; check ${option}`, 'permanent');
  const late = code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT';
  const sentence = late ? `${address} did not answer in time` : `the connection to ${address} was lost`;
  return failure(sentence, { code: 'REPLY_LOST', class: 'unknown', cause: thrown });
}

const neverConnected = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);
