/** Service flags: the options that say where a service is and who asks, the same for every command that talks to one. */

import { InvalidArgumentError, Option } from 'commander';

/** Of a command that talks to the control plane. */
export interface ControlFlags {
  readonly control: string;
  readonly key?: string;
  readonly json?: boolean;
}

/** Of a command that talks to the gateway. */
export interface GatewayFlags {
  readonly url: string;
  readonly key?: string;
  readonly json?: boolean;
}

/** `--control URL`. */
export function controlOption(): Option {
  return new Option('--control <url>', 'the control plane').argParser(httpAddress).default('http://127.0.0.1:8081');
}

/** `--url URL`. */
export function urlOption(): Option {
  return new Option('--url <url>', 'the gateway').argParser(httpAddress).default('http://127.0.0.1:8080');
}

/** `--key KEY`. The environment is the better place: other users of a machine see the arguments of a process. */
export function keyOption(): Option {
  return new Option('--key <key>', 'an API key, where the service wants one').env('SLUICE_KEY').argParser(apiKey);
}

/** `--json`. */
export function jsonOption(): Option {
  return new Option('--json', 'print JSON');
}

/** What a refusal for want of a key (401) is told as: its own text speaks of headers, which nobody sets here. */
export const wantsKey = 'the service wants an API key that it knows; give it with --key, or in SLUICE_KEY';

/** The headers that say who asks. */
export function keyHeaders(key: string | undefined): Readonly<Record<string, string>> {
  return key === undefined || key === '' ? {} : { authorization: `Bearer ${key}` };
}

/** The path of an address before its own paths: a service may stand behind a prefix of a proxy. */
export function prefixOf({ pathname }: URL): string {
  return pathname.replace(/\/+$/, '');
}

function httpAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // What stands before an @ may be a password: it is not printed.
  if (url !== undefined && ['http:', 'https:'].includes(url.protocol) && url.username === '' && url.password === '') return text;
  throw new InvalidArgumentError('Expected an http or https address such as http://127.0.0.1:8080, without a user name.');
}

function apiKey(text: string): string {
  if (/^[\x21-\x7e]{0,512}$/.test(text)) return text;
  throw new InvalidArgumentError('Expected a key as `sluice key` prints it: visible characters, without spaces.');
}
