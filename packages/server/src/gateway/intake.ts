/** Intake: which requests are under way, and how the server stops taking new ones without cutting these. */

import type { Server, ServerResponse } from 'node:http';
import { whenGone } from './departure.js';

/** Counts the requests under way, and waits for the last of them. */
export interface Intake {
  readonly stopped: boolean;
  readonly underWay: number;
  /** Counts a request from here until its connection has its answer, or is gone. */
  begin(response: ServerResponse): void;
  /** Closes the listening socket and resolves once no request is under way, or after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

/** The intake of a server. */
export function createIntake(server: Server): Intake {
  let stopped = false;
  let underWay = 0;
  let onIdle: (() => void) | undefined;
  const idle = (graceMs: number): Promise<void> => {
    if (underWay === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  };
  const end = (): void => {
    underWay--;
    if (underWay === 0) onIdle?.();
  };
  let stopping: Promise<void> | undefined;
  return {
    get stopped() {
      return stopped;
    },
    get underWay() {
      return underWay;
    },
    begin(response) {
      underWay++;
      whenGone(response, end);
    },
    stop(graceMs) {
      if (stopping === undefined) {
        stopped = true;
        // Also ends the connections without a request under way.
        server.close();
        stopping = idle(graceMs);
      }
      return stopping;
    },
  };
}
