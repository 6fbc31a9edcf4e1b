/** A terminal for the tests of commands: it keeps what is printed. */

import { Readable } from 'node:stream';
import type { CommandIo } from '../../src/commands/command-io.js';

export interface Terminal extends CommandIo {
  /** What was printed on standard output, on standard error, and on both in order. */
  readonly printed: { out: string; err: string; all: string };
}

/** A terminal whose standard input is this. */
export function terminal(stdin: Readable = Readable.from([])): Terminal {
  const printed = { out: '', err: '', all: '' };
  const output = (name: 'out' | 'err') => ({
    write(text: string) {
      printed[name] += text;
      printed.all += text;
    },
  });
  return { stdin, stdout: output('out'), stderr: output('err'), printed };
}
