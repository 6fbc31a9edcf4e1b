/** Metrics and alerts, held against Prometheus's own tools: what a running service exports, the rules, and that each alert is raised. */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { Service } from '../src/service/service.js';
import { startPrometheus } from './support/prometheus.js';
import { useRunning } from './support/running.js';
import { lacks, piped } from './support/tools.js';

const run = promisify(execFile);
const alerts = fileURLToPath(new URL('../alerts/', import.meta.url));

const world = useRunning();

function start(handler: (events: readonly unknown[]) => unknown, fields: object = {}): Promise<Service> {
  return world.startWith({
    pipelines: {
      p: {
        stream: 'events',
        sink: { type: 'module', handler },
        window: { maxDelayMs: 5 },
        breaker: { maxFailures: 1, cooldownMs: 50 },
        ...fields,
      },
    },
  });
}

const scrape = async () => (await fetch(`${world.service.controlUrl}/metrics`)).text();
const post = (count: number) =>
  fetch(`${world.service.url}/v1/streams/events/events`, {
    method: 'POST',
    body: JSON.stringify(Array.from({ length: count }, (_, id) => ({ id }))),
    headers: { 'content-type': 'application/json' },
  });

describe('R-73, R-74, R-128, R-144, R-148, R-196: the metrics', () => {
  it('tell what came in, how it was batched, and what became of it', async () => {
    let calls = 0;
    await start(() => {
      if (calls++ === 0) throw Object.assign(new Error('not yet'), { class: 'transient' });
    });
    await post(50);
    await expect.poll(scrape).toMatch(/^sluice_items_total\{pipeline="p",outcome="ok"\} 50$/m);
    await expect.poll(scrape).toMatch(/^sluice_lag_items\{pipeline="p"\} 0$/m);
    const text = await scrape();
    for (const line of [
      /^sluice_offered_items_total 50$/m,
      /^sluice_ingested_items_total\{result="accepted"\} 50$/m,
      /^sluice_batch_size_sum\{pipeline="p"\} 50$/m,
      /^sluice_flush_duration_seconds_count\{pipeline="p"\} \d+$/m,
      /^sluice_flush_reason_total\{pipeline="p",reason="time"\} \d+$/m,
      /^sluice_retries_total\{pipeline="p",class="transient"\} 1$/m,
      /^sluice_sink_call_seconds_count\{result="failed",pipeline="p"\} 1$|^sluice_sink_call_seconds_count\{pipeline="p",result="failed"\} 1$/m,
      /^sluice_breaker_state\{pipeline="p"\} 0$/m,
      /^sluice_queue_depth\{pipeline="p"\} 0$/m,
      /^sluice_lag_items\{pipeline="p"\} 0$/m,
      /^sluice_lag_seconds\{pipeline="p"\} 0$/m,
      /^sluice_tally_imbalance\{pipeline="p"\} 0$/m,
      /^sluice_pipeline_delivering\{pipeline="p"\} 1$/m,
      /^sluice_log_file_bytes \d+$/m,
      /^sluice_log_flush_seconds_count [1-9]\d*$/m,
      /^sluice_log_flush_seconds_sum 0\.\d*[1-9]/m,
      /^sluice_log_disk_free_bytes \d+/m,
      /^sluice_dead_letters 0$/m,
      /^sluice_admission_used_ratio 0$/m,
      /^nodejs_eventloop_lag_p99_seconds /m,
      /^sluice_info\{version="[\d.]+"\} 1$/m,
    ])
      expect(text).toMatch(line);
  });

  it('count the waits for a free call, which a pool that is too small causes', async () => {
    const slow: (() => void)[] = [];
    await start(() => new Promise<void>((resolve) => slow.push(resolve)), { maxInFlight: 1, maxItems: 5 });
    await post(10);
    await expect.poll(() => slow.length).toBe(1);
    await expect.poll(scrape).toMatch(/^sluice_queue_depth\{pipeline="p"\} 5$/m);
    slow.shift()!();
    await expect.poll(() => slow.length).toBe(1);
    slow.shift()!();
    await expect.poll(scrape).toMatch(/^sluice_items_total\{pipeline="p",outcome="ok"\} 10$/m);
    expect(await scrape()).toMatch(/^sluice_flush_slot_wait_seconds_count\{pipeline="p"\} [1-9]\d*$/m);
  });

  it.skipIf(lacks('promtool'))('are accepted by promtool check metrics (promtool)', async () => {
    await start(() => {});
    await post(5);
    const { code, said } = await piped(await scrape(), 'promtool', 'check', 'metrics');
    expect({ code, said: said.trim() }).toEqual({ code: 0, said: '' });
  });
});

describe('the alert rules', () => {
  it.skipIf(lacks('promtool'))('are valid, raised by what they are for, and by nothing else (promtool)', async () => {
    await run('promtool', ['check', 'rules', 'sluice.rules.yml'], { cwd: alerts });
    const { stdout } = await run('promtool', ['test', 'rules', 'sluice.rules.test.yml'], { cwd: alerts });
    expect(stdout).toContain('SUCCESS');
  });

  it.skipIf(lacks('prometheus'))('fire in a Prometheus that scrapes a service whose sink is blocked (prometheus)', async () => {
    const service = await start(() => {
      throw Object.assign(new Error('wrong password'), { class: 'blocked', code: 'NO_ACCESS' });
    });
    await post(3);
    // The rules as they are, with no time to wait: what they wait for is tested above.
    const rules = readFileSync(join(alerts, 'sluice.rules.yml'), 'utf8').replaceAll(/^( +for: ).*$/gm, '$10s');
    world.write('rules.yml', rules);
    const prometheus = await startPrometheus(world.folder, service.controlUrl, join(world.folder, 'rules.yml'));
    try {
      await expect
        .poll(() => prometheus.firing(), { timeout: 25_000, interval: 200 })
        .toEqual(expect.arrayContaining(['SluiceNotDelivering']));
    } finally {
      await prometheus.stop();
    }
  });
});
