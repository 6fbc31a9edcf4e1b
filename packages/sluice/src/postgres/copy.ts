/** copy: one COPY … FROM STDIN on a connection, as a promise that always settles. */

import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { WriteProgress } from './classify.js';

/**
 * Runs `sql`, which holds one COPY … FROM STDIN, and feeds it the chunks. Resolves once the server has committed and is ready
 * again; rejects with what the server or the socket said. Says in `progress` from when on the server may commit.
 */
export function copyIn(client: PoolClient, sql: string, chunks: readonly Buffer[], progress: WriteProgress): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = copyFrom(sql);
    stream.once('finish', resolve);
    stream.on('error', (error) => {
      reject(error);
      // At once: else a chunk that waits for the socket to drain would be sent through a connection that the stream has let go.
      stream.destroy();
    });
    // The chunks are in memory already, so that back-pressure of the stream would save nothing.
    chunks.forEach((chunk, index) => {
      if (index < chunks.length - 1) stream.write(chunk);
      else stream.write(chunk, (error) => (error ? undefined : end()));
    });
    const end = () => {
      progress.commitSent = true;
      stream.end();
    };
    client.query(stream);
  });
}
