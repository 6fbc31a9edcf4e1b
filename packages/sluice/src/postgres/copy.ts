/** copy: COPY … FROM STDIN on a connection, its data sent along with the statement, as a promise that always settles. */

import type { PoolClient, Submittable } from 'pg';
import type { WriteProgress } from './classify.js';

/** What is copied, and what follows from the end of it. */
export interface Copies {
  /** One simple query: statements with as many COPY … FROM STDIN among them as there are `parts`, which may be none. */
  readonly sql: string;
  /** The data of each COPY, in their order. */
  readonly parts: readonly (readonly Buffer[])[];
  /** `'commits'`: no transaction is open, so that the server commits by itself once the last COPY has ended. */
  readonly ending: 'commits' | 'continues';
}

/** How far the copies had come. */
export interface CopyProgress extends WriteProgress {
  /** COPYs that the server had begun: the last of them is the one that failed, if one did. */
  begun: number;
  /** What the server said of each statement that it had done: `COPY 500`, `INSERT 0 498`. */
  readonly tags: string[];
  /** {@link mark} was among them. */
  marked: boolean;
}

/** Nothing sent yet. */
export function atStart(): CopyProgress {
  return { commitSent: false, begun: 0, tags: [], marked: false };
}

/** A statement that tells in the progress that all before it are done, however many those of a user are. */
export const mark = 'SELECT 1 AS sluice_mark';

const markColumn = mark.split(' ').at(-1);

/**
 * Runs the copies. Resolves once the server is ready for the next query; rejects with what the server or the socket said.
 *
 * The data goes out behind the statement, without waiting for the server's leave: a round trip saved. Should the statement fail
 * before its COPY, the server ignores data that it did not ask for (manual, "COPY Operations"). The end of a copy that commits is
 * held back until the server has begun it: nothing can be committed before `progress.commitSent` says so.
 */
export function copyIn(client: PoolClient, copies: Copies, progress: CopyProgress): Promise<void> {
  return new Promise((resolve, reject) => {
    client.query(copyQuery(copies, progress, resolve, reject) as Submittable);
  });
}

/** One copy message holds at most this much, as libpq does: the server takes each into memory as a whole. */
const messageBytes = 64 * 1024;

const copyDone = Buffer.from([0x63, 0, 0, 0, 4]);

/** What `pg` calls of a query; not in its declarations. */
interface CopyQuery extends Submittable {
  /** Replaced by `pg` where `query_timeout` is set: calling it stops the timer. */
  callback(): void;
  handleError(error: unknown): void;
  handleCopyInResponse(): void;
  handleReadyForQuery(): void;
  handleCommandComplete(message: { readonly text: string }): void;
  handleEmptyQuery(): void;
  handleRowDescription(message: { readonly fields: readonly { readonly name: string }[] }): void;
  handleDataRow(): void;
}

/** The socket of a connection of `pg`. */
interface WireStream {
  cork(): void;
  uncork(): void;
  write(bytes: Buffer): boolean;
}

function copyQuery(
  { sql, parts, ending }: Copies,
  progress: CopyProgress,
  done: () => void,
  fail: (error: unknown) => void,
): CopyQuery {
  let stream: WireStream | undefined;
  const query: CopyQuery = {
    submit(connection) {
      const wire = connection as unknown as { readonly stream: WireStream; query(text: string): void };
      stream = wire.stream;
      stream.cork();
      wire.query(sql);
      parts.forEach((part, index) => {
        for (const chunk of part) sendData(wire.stream, chunk);
        if (ending === 'continues' || index < parts.length - 1) wire.stream.write(copyDone);
      });
      stream.uncork();
    },
    callback: ignore,
    handleCopyInResponse() {
      progress.begun++;
      if (ending === 'continues' || progress.begun < parts.length) return;
      progress.commitSent = true;
      stream?.write(copyDone);
    },
    handleError(error) {
      query.callback();
      fail(error);
    },
    handleReadyForQuery() {
      query.callback();
      done();
    },
    handleCommandComplete({ text }) {
      progress.tags.push(text);
    },
    handleEmptyQuery: ignore,
    handleRowDescription({ fields }) {
      progress.marked ||= fields[0]?.name === markColumn;
    },
    handleDataRow: ignore,
  };
  return query;
}

function sendData(stream: WireStream, chunk: Buffer): void {
  for (let at = 0; at < chunk.length; at += messageBytes) {
    const data = chunk.length <= messageBytes ? chunk : chunk.subarray(at, at + messageBytes);
    const header = Buffer.allocUnsafe(5);
    header[0] = 0x64;
    header.writeUInt32BE(data.length + 4, 1);
    stream.write(header);
    stream.write(data);
  }
}

function ignore(): void {}
