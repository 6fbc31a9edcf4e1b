/** A planted bug, in place of `lmdb`: a transaction is acknowledged when its function has run, before it is committed. The kills must see it. */

import { createRequire } from 'node:module';
import type { Database, RootDatabase, RootDatabaseOptionsWithPath } from 'lmdb';

const lmdb = createRequire(import.meta.url)('lmdb') as typeof import('lmdb');

/** Opens as lmdb does, and acknowledges too early. */
export function open(options: RootDatabaseOptionsWithPath): RootDatabase {
  const root = lmdb.open(options);
  const commit = root.childTransaction.bind(root) as Database['childTransaction'];
  root.childTransaction = <T>(fn: () => T) =>
    new Promise<T>((resolve, reject) => {
      commit(() => {
        try {
          const result = fn();
          resolve(result);
          return result;
        } catch (error) {
          reject(error);
          throw error;
        }
      }).catch(() => {});
    });
  return root;
}
