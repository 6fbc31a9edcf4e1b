/** What a command reads from and prints to, so that a test can stand in for the terminal. */

import type { Readable } from 'node:stream';

/** Where text goes. */
export interface Output {
  write(text: string): unknown;
  /** A terminal: progress may be drawn over. */
  readonly isTTY?: boolean;
  /** Its width in characters, as it is now. */
  readonly columns?: number;
  /** Told when nobody takes the text any more, as after `| head`. */
  once?(event: 'error', listener: () => void): unknown;
}

/** The streams of a command. */
export interface CommandIo {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output;
}

/** Those of the process. */
export function processIo(): CommandIo {
  return { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
}

/** A message as a sentence: with one full stop, unless it ends as a sentence already. */
export function sentence(text: string): string {
  return /[.?!…]$/.test(text) ? text : `${text}.`;
}

/** The command was called wrongly: one sentence that says what to do. Exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}
