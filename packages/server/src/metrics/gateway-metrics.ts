/** Gateway metrics: what comes in, what is refused and why, and who has how much under way. */

import { Counter, Gauge, type Registry } from 'prom-client';
import type { Admission, TenantUse } from '../gateway/admission.js';
import type { Gateway } from '../gateway/gateway.js';
import { setCounter } from './set-counter.js';

/** Tenants that have a label of their own; the others share `other`, so that the number of series is bounded. */
const maxTenantLabels = 20;

/** Registers them; returns what reads them. */
export function gatewayMetrics(registry: Registry): (gateway: Gateway, admission: Admission) => void {
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Counter({ name: `sluice_${name}`, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Gauge({ name: `sluice_${name}`, help, labelNames, registers });
  const requests = counter('requests_total', 'Requests on any path.', []);
  const offered = counter('offered_items_total', 'Items received over HTTP, before anything was decided.', []);
  const ingested = counter('ingested_items_total', 'Items received over HTTP, by what became of them.', ['result']);
  const rejected = counter('rejected_items_total', 'Items refused by index, by code.', ['code']);
  const refused = counter('refused_requests_total', 'Requests that were not let in, by reason.', ['reason']);
  const overloaded = counter('overloaded_requests_total', 'Requests answered with 503.', []);
  const refusedConnections = counter('refused_connections_total', 'Connections closed because there were too many already.', []);
  const heldBody = gauge('held_body_bytes', 'Bytes of requests whose items are not in the log yet.', []);
  const reads = counter('reads_total', 'Requests for keys.', []);
  const readInvalid = counter('read_invalid_total', 'Keys left out because the backend gave no number.', []);
  const underWay = gauge('requests_under_way', 'Requests that have no answer yet.', []);
  const admissionUsed = gauge('admission_used_ratio', 'Items on their way into the log, as a share of what may be.', []);
  const admissionLimit = gauge(
    'admission_limit_items',
    'Items that may be on their way into the log; it follows the time that the log takes.',
    [],
  );
  const tenantItems = gauge('tenant_held_items', 'Items of a tenant on their way into the log; the busiest tenants, and other.', [
    'tenant',
  ]);
  const tenantRefused = gauge(
    'tenant_refused_requests',
    'Requests of a tenant that were not let in since the start; the busiest tenants, and other.',
    ['tenant'],
  );

  return ({ counters, underWay: now, heldBodyBytes }, admission) => {
    setCounter(requests, {}, counters.requests);
    setCounter(offered, {}, counters.accepted + counters.duplicates + counters.rejected);
    for (const result of ['accepted', 'duplicates', 'rejected'] as const) setCounter(ingested, { result }, counters[result]);
    for (const [code, count] of counters.rejectedByCode) setCounter(rejected, { code }, count);
    for (const [reason, count] of admission.refused) setCounter(refused, { reason }, count);
    setCounter(overloaded, {}, counters.overloaded);
    setCounter(reads, {}, counters.reads);
    setCounter(readInvalid, {}, counters.readInvalid);
    setCounter(refusedConnections, {}, counters.refusedConnections);
    underWay.set(now);
    heldBody.set(heldBodyBytes);
    admissionUsed.set(admission.limit === 0 ? 0 : admission.heldItems / admission.limit);
    admissionLimit.set(admission.limit);
    tenantItems.reset();
    tenantRefused.reset();
    for (const { tenant, heldItems, refused: count } of bounded(admission.tenants())) {
      tenantItems.set({ tenant }, heldItems);
      tenantRefused.set({ tenant }, count);
    }
  };
}

function bounded(all: readonly TenantUse[]): readonly Pick<TenantUse, 'tenant' | 'heldItems' | 'refused'>[] {
  if (all.length <= maxTenantLabels) return all;
  const sorted = [...all].sort((a, b) => b.heldItems - a.heldItems || b.refused - a.refused);
  const others = sorted.slice(maxTenantLabels);
  const sum = (of: 'heldItems' | 'refused') => others.reduce((total, tenant) => total + tenant[of], 0);
  return [...sorted.slice(0, maxTenantLabels), { tenant: 'other', heldItems: sum('heldItems'), refused: sum('refused') }];
}
