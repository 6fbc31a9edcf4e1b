/**
 * A planted bug, in place of `lmdb`: a transaction is acknowledged when it is committed, and flushed a little later, as logs do that flush "every
 * so often". Only a power cut can show it: a killed process leaves its pages to the kernel.
 */

import { createRequire } from 'node:module';
import type { RootDatabase, RootDatabaseOptionsWithPath } from 'lmdb';

const lmdb = createRequire(import.meta.url)('lmdb') as typeof import('lmdb');
const flushEveryMs = 50;

/** Opens as lmdb does, and flushes too late. */
export function open(options: RootDatabaseOptionsWithPath): RootDatabase {
  const root = lmdb.open({ ...options, noSync: true });
  // Left out of lmdb's declarations.
  const flush = (root as unknown as { sync(done: () => void): void }).sync.bind(root);
  const every = setInterval(() => flush(() => {}), flushEveryMs);
  const close = root.close.bind(root);
  root.close = () => {
    clearInterval(every);
    return close();
  };
  return root;
}
