/** What the sink uses of `pg-copy-streams`, which ships no declarations. */

declare module 'pg-copy-streams' {
  import type { Writable } from 'node:stream';
  import type { Connection, Submittable } from 'pg';

  /** A COPY … FROM STDIN to hand to `client.query`; finishes once the server is ready for the next query. */
  export function from(sql: string): Writable & Submittable & { submit(connection: Connection): void };
}
