/** What the benchmarks share: rounds that alternate between the variants, medians, and a table with ratios. */

import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';

/** Rounds of each variant; the median counts. */
export const rounds = 7;

/** The machine, to stand beside every figure. */
export function machine() {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, ${process.platform}`;
}

/**
 * Runs each variant `rounds` times, alternating, after warm-up rounds of each, and takes medians.
 *
 * @param variants functions that return how many operations they did; async ones are awaited.
 * @param warmUps rounds that do not count. What is done once a batch is compiled late, after thousands of batches: a service has them
 * in its first seconds, a benchmark must run them first.
 * @returns nanoseconds per operation, by variant.
 */
export async function nanosecondsPerOperation(variants, { warmUps = 1 } = {}) {
  const samples = new Map(Object.keys(variants).map((name) => [name, []]));
  for (let round = -warmUps; round < rounds; round++) {
    for (const [name, run] of Object.entries(variants)) {
      globalThis.gc?.();
      const startedAt = performance.now();
      const operations = await run();
      const took = ((performance.now() - startedAt) * 1e6) / operations;
      if (round >= 0) samples.get(name).push(took);
    }
  }
  return Object.fromEntries([...samples].map(([name, values]) => [name, median(values)]));
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** The value that `share` of the values do not exceed. */
export function percentile(values, share) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
}

/** What `run` resolves with, in a temporary folder, which is removed. */
export async function inFolder(run) {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  try {
    return await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function heading(text) {
  console.log(`\n${text}`);
}

/** One line a variant; the ratio is to the variant named `floor`. */
export function report(unit, results, floor, { higherIsBetter = false } = {}) {
  for (const [name, value] of Object.entries(results)) {
    const ratio = value / results[floor];
    console.log(
      `  ${name.padEnd(44)} ${format(value).padStart(12)} ${unit}   ${ratio.toFixed(2)} ×${name === floor ? ' (reference)' : higherIsBetter ? ' (more is better)' : ''}`,
    );
  }
}

function format(value) {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : value.toFixed(1);
}
