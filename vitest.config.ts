import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const library = fileURLToPath(new URL('./packages/sluice/src/', import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^sluice$/, replacement: `${library}index.ts` },
      { find: /^sluice\/([a-z]+)$/, replacement: `${library}$1/index.ts` },
    ],
  },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // What comes a moment later comes later on a busy machine.
    expect: { poll: { timeout: 20_000 } },
    // Two cores: the server tests start processes of their own.
    maxWorkers: 2,
  },
});
