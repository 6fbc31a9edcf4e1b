/** Control client: one service's control plane, asked over HTTP. What goes wrong is one sentence. */

import { failure } from 'sluice';
import { Client } from 'undici';
import { connectionFailure } from './connection.js';
import { errorIn, jsonObject } from './json-object.js';
import { type ControlFlags, keyHeaders, prefixOf, wantsKey } from './service-flags.js';

/** Query parameters; a list is a parameter given several times. */
export type Query = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** Asks a control plane. */
export interface ControlClient {
  /** Such as `http://127.0.0.1:8081`. */
  readonly address: string;
  /**
   * Sends a request.
   *
   * @param expects a member that the answer has, so that another server is not taken for a control plane.
   * @throws SluiceError `UNREACHABLE`, `REPLY_LOST`, `NOT_A_CONTROL_PLANE`, or the code that the service gave.
   */
  ask<T extends object>(method: Method, path: string, expects: keyof T & string, query?: Query): Promise<T>;
}

/** Methods of the control plane. */
export type Method = 'GET' | 'POST' | 'DELETE';

/** An answer takes as long as what was asked for: a pause waits for what is on its way. */
const answerTimeoutMs = 300_000;

/** Runs `work` with a client, and closes its connection whatever happens. */
export async function withControl<R>(flags: ControlFlags, work: (control: ControlClient) => Promise<R>): Promise<R> {
  const url = new URL(flags.control);
  const client = new Client(url.origin, {
    connectTimeout: 10_000,
    headersTimeout: answerTimeoutMs,
    bodyTimeout: answerTimeoutMs,
  });
  try {
    return await work(clientOf(client, url, keyHeaders(flags.key)));
  } finally {
    await client.destroy();
  }
}

function clientOf(client: Client, url: URL, headers: Readonly<Record<string, string>>): ControlClient {
  const address = url.origin;
  const send = async (method: Method, path: string): Promise<{ readonly status: number; readonly text: string }> => {
    try {
      const { statusCode, body } = await client.request({ method, path, headers });
      return { status: statusCode, text: await body.text() };
    } catch (error) {
      throw connectionFailure(error, { address, option: '--control' });
    }
  };
  return {
    address,
    async ask<T extends object>(method: Method, path: string, expects: keyof T & string, query: Query = {}) {
      const { status, text } = await send(method, `${prefixOf(url)}${path}${queryText(query)}`);
      const body = jsonObject(text);
      if (status < 300 && body !== undefined && expects in body) return body as T;
      throw refusal(address, status, body);
    },
  };
}

function refusal(address: string, status: number, body: object | undefined): Error {
  const error = errorIn(body);
  // A gateway answers unknown paths in the same form.
  if (error === undefined || (status === 404 && error.code === 'NOT_FOUND')) {
    return failure(
      `${address} is not a control plane of Sluice (it answered ${status}); give the control plane's address with --control`,
      { code: 'NOT_A_CONTROL_PLANE' },
    );
  }
  const { code, message } = error;
  if (status === 401) return failure(wantsKey, { code });
  return failure(message, { code, class: status === 503 ? 'transient' : status >= 500 ? 'unknown' : 'permanent' });
}

function queryText(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of value === undefined ? [] : [value].flat()) parameters.append(name, String(one));
  }
  return parameters.size === 0 ? '' : `?${parameters}`;
}
