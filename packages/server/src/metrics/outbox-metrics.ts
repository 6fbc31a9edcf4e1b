/** Outbox metrics: what the relays of a service do. */

import { Counter, Gauge, type Registry } from 'prom-client';
import type { RunningOutbox } from '../outboxes/outboxes.js';
import { setCounter } from './set-counter.js';

/** Registers them; reads them at each scrape. */
export function outboxMetrics(registry: Registry): (outboxes: readonly RunningOutbox[]) => void {
  const registers = [registry];
  const events = new Counter({
    name: 'sluice_outbox_events_total',
    help: 'Events of an outbox that are in the log (ok), or in its table of dead letters (dead).',
    labelNames: ['outbox', 'outcome'],
    registers,
  });
  const relaying = new Gauge({
    name: 'sluice_outbox_relaying',
    help: '1 while the outbox is relayed: its database answers, and the log takes its events.',
    labelNames: ['outbox'],
    registers,
  });
  const lagItems = new Gauge({
    name: 'sluice_outbox_lag_items',
    help: 'Committed events of an outbox that no relay has delivered, of all services that share it; counted every few seconds, 10,000 at most.',
    labelNames: ['outbox'],
    registers,
  });
  const lagSeconds = new Gauge({
    name: 'sluice_outbox_lag_seconds',
    help: 'Age of the oldest of them.',
    labelNames: ['outbox'],
    registers,
  });
  return (outboxes) => {
    for (const { name: outbox, stats, problem, lag } of outboxes) {
      const known = lag();
      if (known !== undefined) {
        lagItems.set({ outbox }, known.items);
        lagSeconds.set({ outbox }, known.oldestMs / 1_000);
      }
      const { delivered = 0, dead = 0 } = stats() ?? {};
      setCounter(events, { outbox, outcome: 'ok' }, delivered);
      setCounter(events, { outbox, outcome: 'dead' }, dead);
      relaying.set({ outbox }, problem() === undefined ? 1 : 0);
    }
  };
}
