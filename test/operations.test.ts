/** The runbook, held against what it speaks of: alerts, options, metrics and routes. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { configOptions } from './reference/configuration-page.js';

const server = fileURLToPath(new URL('../packages/server/', import.meta.url));
const guide = readFileSync(new URL('../docs/guide/operations.md', import.meta.url), 'utf8');
const part = (heading: string) => guide.split(`\n## ${heading}\n`)[1]!.split('\n## ')[0]!;

describe('docs/guide/operations.md', () => {
  it('R-229: says of everything that holds payloads or ids how long it is kept, by options that exist', () => {
    const kept = [...part('What is kept, and how long').matchAll(/`((?:streams|log)\.[\w.]+)`/g)].map(([, path]) => path!);
    expect(kept.length).toBeGreaterThan(2);
    expect(kept.filter((path) => !configOptions().some((option) => option.path === path))).toEqual([]);
  });

  it('R-99: has a section for every alert, and an alert for every section', () => {
    const rules = readFileSync(`${server}alerts/sluice.rules.yml`, 'utf8');
    const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
    const sections = [...part('Alerts').matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
    expect(alerts.length).toBeGreaterThan(10);
    expect(sections).toEqual(alerts);
  });

  it('says in each section of an alert what to do, not only what it is', () => {
    const sections = part('Alerts').split(/^### /m).slice(1);
    expect(sections.filter((section) => section.length < 150).map((section) => section.split('\n')[0])).toEqual([]);
  });

  it('R-220: lists every bound of the configuration, and no other', () => {
    const listed = [...part('Every bound').matchAll(/^\| `([^`]+)` \|/gm)].map(([, path]) => path!);
    const options = configOptions().map(({ path }) => path);
    expect(listed.filter((path) => !options.includes(path))).toEqual([]);
    const bounds = options.filter((path) => /\.(max[A-Z]\w*|\w*[tT]imeoutMs|itemsPerSecond|reserveBytes)$/.test(path));
    expect(bounds.filter((path) => !listed.includes(path) && !notOfTheService.includes(path))).toEqual([]);
  });

  it('R-220: gives each bound the default that the schema gives it', () => {
    const listed = [...part('Every bound').matchAll(/^\| `([^`]+)` \| ([\d,]+)(?: (KiB|MiB|GiB|s|days)(?= \|))?[^|]* \|/gm)];
    const said = new Map(
      listed.map(([, path, number, unit]) => [path!, Number(number!.replaceAll(',', '')) * (units[unit ?? ''] ?? 1)]),
    );
    const wrong = configOptions()
      .filter((option) => typeof option.default === 'number' && said.has(option.path) && said.get(option.path) !== option.default)
      .map((option) => `${option.path}: ${option.default}, not ${said.get(option.path)}`);
    expect(said.size).toBeGreaterThan(20);
    expect(wrong).toEqual([]);
  });

  it('names only metrics that exist', () => {
    const sources = readdirSync(`${server}src/metrics`).map((file) => readFileSync(join(server, 'src/metrics', file), 'utf8'));
    const known = new Set(
      sources.flatMap((text) => [...text.matchAll(/'(?:sluice_)?([a-z_]+)'/g)].map(([, name]) => `sluice_${name}`)),
    );
    const named = [...guide.matchAll(/\bsluice_[a-z_]+/g)].map(([name]) => name);
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });

  it('calls only routes that the control plane has', () => {
    const folder = join(server, 'src/control');
    const routes = readdirSync(folder)
      .flatMap((file) => [...readFileSync(join(folder, file), 'utf8').matchAll(/'(\/v1\/[^']+)'/g)])
      .map(([, route]) => new RegExp(`^${route!.replace(/:\w+|\*/g, '[^/]+')}$`));
    const called = [...guide.matchAll(/\$C(\/v1\/[\w/-]+)/g)].map(([, path]) => path!);
    expect(called.length).toBeGreaterThan(10);
    expect(called.filter((path) => !routes.some((route) => route.test(path)))).toEqual([]);
  });
});

const units: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, s: 1000, days: 86_400_000 };

/** Sizes and ages of what is written, and pauses: no bound of the running service. */
const notOfTheService = [
  'log.deadLetters.maxAgeMs',
  'pipelines.NAME.retry.maxDelayMs',
  'pipelines.NAME.sink.maxBytes',
  'pipelines.NAME.sink.maxAgeMs',
];
