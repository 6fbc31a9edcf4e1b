/** Control: the control plane of the soaked service, as an operator's tools see it. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Setting } from './configuration.js';

/** What is asked of the control plane. */
export interface ControlClient {
  /** Fails where it does not answer 2xx. */
  ask<T>(method: 'GET' | 'POST', path: string): Promise<T>;
  /** Sums of pipelines whose tally does not balance; `undefined` while it does not answer. */
  imbalances(): Promise<string[] | undefined>;
  /** Records that pipelines have not settled. */
  lag(): Promise<number>;
  /** Ids of the dead letters of each group. */
  letters(): Promise<Map<string, Set<string>>>;
}

/** How often it asks while a reload changes the pipeline that it asks about: a minute. */
const mostTries = 600;

/** Asks as the operator. */
export function controlClient({ controlPort, keys }: Setting): ControlClient {
  const call = (method: string, path: string) =>
    fetch(`http://127.0.0.1:${controlPort}${path}`, {
      method,
      headers: { authorization: `Bearer ${keys.ops.key}` },
      signal: AbortSignal.timeout(30_000),
    });
  const ask = async <T>(method: 'GET' | 'POST', path: string): Promise<T> => {
    for (let tries = 1; ; tries++) {
      const response = await call(method, path);
      if (response.ok) return (await response.json()) as T;
      const text = await response.text();
      // A reload by SIGHUP goes on beside the faults.
      if (tries === mostTries || !text.includes('"PIPELINE_CHANGING"'))
        throw new Error(`${method} ${path} was answered with ${response.status} ${text}`);
      await sleep(100);
    }
  };
  return {
    ask,
    async imbalances() {
      let text: string;
      try {
        text = await (await call('GET', '/metrics')).text();
      } catch {
        return undefined;
      }
      const lines = [...text.matchAll(/^sluice_tally_imbalance\{pipeline="([^"]+)"\} (\S+)$/gm)];
      return lines.filter(([, , value]) => value !== '0').map(([, pipeline, value]) => `${pipeline}: ${value}`);
    },
    async lag() {
      const { pipelines } = await ask<{ pipelines: { lag: { items: number } }[] }>('GET', '/v1/pipelines');
      return pipelines.reduce((sum, { lag }) => sum + lag.items, 0);
    },
    async letters() {
      const found = new Map<string, Set<string>>();
      for (let after = ''; ; ) {
        const page = await ask<LetterPage>('GET', `/v1/dead-letters?limit=5000${after}`);
        for (const { group, record } of page.deadLetters)
          found.set(group, (found.get(group) ?? new Set<string>()).add(record.id));
        if (page.next === undefined || page.next === null) return found;
        after = `&after=${encodeURIComponent(page.next)}`;
      }
    },
  };
}

interface LetterPage {
  readonly deadLetters: readonly { readonly group: string; readonly record: { readonly id: string } }[];
  readonly next?: string | null;
}
