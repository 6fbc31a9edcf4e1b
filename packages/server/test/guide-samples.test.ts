/** The configurations that the guides show are right. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../src/config/load.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

let folder = '';
beforeEach(() => {
  // Below node_modules, so that a program finds the package that it imports.
  mkdirSync(join(root, 'node_modules/.cache'), { recursive: true });
  folder = mkdtempSync(join(root, 'node_modules/.cache/sluice-samples-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe.each(['docs/guide/configuration.md', 'docs/guide/pipelines.md', 'docs/guide/outbox.md', 'README.md'])('%s', (page) => {
  const text = readFileSync(join(root, page), 'utf8');
  const samples = [...text.matchAll(/```(yaml|ts)\n([\s\S]*?)```/g)]
    .map(([, form, sample]) => ({ form: form!, sample: sample! }))
    .filter(({ form, sample }) => form === 'yaml' || sample.includes('defineConfig'));

  it('shows some', () => {
    expect(samples.length).toBeGreaterThan(0);
  });

  it.each(samples)('a sample in $form is taken: $sample', async ({ form, sample }) => {
    writeFileSync(join(folder, `sluice.config.${form}`), sample);
    const { config } = await loadConfig(undefined, { folder, environment: {} });
    expect(Object.keys(config.pipelines).length).toBeGreaterThan(0);
  });
});
