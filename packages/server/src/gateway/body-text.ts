/** Body text: the text of a body's items, decoded once for all of them where that is possible. */

import { isAscii, isUtf8 } from 'node:buffer';

/** Reads the items of one body as text. */
export interface BodyText {
  /** Whether an item may hold an escape of a code unit (`\u0000`). */
  readonly mayEscape: boolean;
  /** The text of an item, which is a slice of the body; `undefined` when it is not valid UTF-8. */
  of(item: Buffer): string | undefined;
}

/** Above it the text of the whole would be another body's worth of memory, of which nobody keeps count. */
const maxDecodedBytes = 256 * 1024;

/** In ASCII a character is a byte: items are cut from one string, which costs a tenth of decoding and checking each of them. */
export function bodyText(body: Buffer): BodyText {
  if (body.length > maxDecodedBytes || !isAscii(body)) return { mayEscape: true, of: decoded };
  const text = body.toString('latin1');
  const bodyStart = body.byteOffset;
  return {
    mayEscape: text.includes('\\u'),
    of(item) {
      const start = item.byteOffset - bodyStart;
      return text.substring(start, start + item.length);
    },
  };
}

function decoded(item: Buffer): string | undefined {
  return isUtf8(item) ? item.toString('utf8') : undefined;
}
