/** The embedded durable log: `import { openLmdbLog } from 'sluice/lmdb'`. Needs the package `lmdb`. */

export { type LmdbLogOptions, openLmdbLog } from './lmdb-log.js';
export { type LmdbReaderOptions, type LogReader, openLmdbReader } from './reader.js';
