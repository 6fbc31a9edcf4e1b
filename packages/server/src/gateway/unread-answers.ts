/** Unread answers: what clients do not read is held for a while and up to a bound; then their connections are closed. */

import type { ServerResponse } from 'node:http';
import { whenGone } from './departure.js';

/** The answers that the system has not taken from us, because their clients do not read. */
export interface UnreadAnswers {
  /** Bytes held now. */
  readonly bytes: number;
  /** Notes an answer that has just been ended, unless it is gone already, as nearly all are. */
  note(response: ServerResponse): void;
}

/** The bounds of {@link UnreadAnswers}. */
export interface UnreadLimits {
  /** Above it the connections of those that wait longest are closed. */
  readonly maxBytes: number;
  /** How long an answer may take to be read, in milliseconds; then its connection is closed. */
  readonly maxMs: number;
}

/** Makes a watch on answers. What an answer is made of may weigh several times what it has in bytes. */
export function createUnreadAnswers({ maxBytes, maxMs }: UnreadLimits): UnreadAnswers {
  /** Those that wait longest first. */
  const unread = new Set<Unread>();
  let held = 0;
  let timer: NodeJS.Timeout | undefined;

  function letGo(one: Unread): void {
    if (unread.delete(one)) held -= one.bytes;
    if (unread.size > 0) return;
    clearTimeout(timer);
    timer = undefined;
  }

  function cut(one: Unread): void {
    letGo(one);
    one.response.req.socket.destroy();
  }

  function look(): void {
    timer = undefined;
    const now = performance.now();
    for (const one of [...unread]) {
      if (one.since + maxMs > now) break;
      if (one.response.socket !== null) cut(one);
      else {
        // It waits for the answer before it on its connection, for which its client is not to blame.
        unread.delete(one);
        one.since = now;
        unread.add(one);
      }
    }
    arm();
  }

  function arm(): void {
    const [longest] = unread;
    if (timer !== undefined || longest === undefined) return;
    timer = setTimeout(look, Math.max(1, longest.since + maxMs - performance.now()));
    timer.unref();
  }

  return {
    get bytes() {
      return held;
    },
    note(response) {
      const bytes = response.writableLength;
      if (bytes === 0) return;
      const one = { response, bytes, since: performance.now() };
      unread.add(one);
      held += bytes;
      whenGone(response, () => letGo(one));
      for (const longest of unread) {
        // One alone may be larger: its client may be about to read.
        if (held <= maxBytes || unread.size === 1) break;
        cut(longest);
      }
      arm();
    },
  };
}

interface Unread {
  readonly response: ServerResponse;
  readonly bytes: number;
  since: number;
}
