/** Wrap: a line of text as an event whose id is the same each time the same input is sent. */

import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { createOccurrences } from './occurrences.js';

/** Turns lines into events, in the order of the input. */
export type WrapLine = (line: Buffer) => Buffer | { readonly code: string; readonly message: string };

/**
 * Wraps lines as `{ "id", "line" }`. The id is a hash (SHA-256, its first 128 bits in hexadecimal) of the source's name, the
 * line, and how many times this line was seen in this input: equal lines stay apart, and the same input gives the same ids.
 * A line that is not UTF-8 is refused: JSON cannot hold it unchanged.
 */
export function wrapLines(source: string): WrapLine {
  const occurrences = createOccurrences();
  return (line) => {
    const occurrence = occurrences.next(createHash('sha256').update(line).digest());
    if (!isUtf8(line))
      return {
        code: 'INVALID_UTF8',
        message: 'the line is not valid UTF-8; convert the input first, as with iconv -f latin1 -t utf8',
      };
    const id = createHash('sha256').update(`${source}\0${occurrence}\0`).update(line).digest('hex').slice(0, 32);
    return Buffer.from(JSON.stringify({ id, line: line.toString('utf8') }));
  };
}
