/** Member: the text of one member of a JSON object, for numbers that a double cannot hold. */

import { endOfString } from './split.js';

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * The text of the top-level member `field` of a valid JSON object, without white space around it; of several with this name the
 * last, as `JSON.parse` takes it; empty when there is none.
 */
export function memberText(json: Buffer, field: string): string {
  let depth = 0;
  let name: string | undefined;
  let valueStart = 0;
  let found = '';
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === quote) {
      const end = endOfString(json, at);
      if (depth === 1 && name === undefined) name = JSON.parse(json.toString('utf8', at, end + 1)) as string;
      at = end;
    } else if (byte === openBrace || byte === openBracket) {
      depth++;
    } else if (depth === 1 && byte === colon) {
      valueStart = at + 1;
    } else if (depth === 1 && (byte === comma || byte === closeBrace)) {
      if (name === field) found = json.toString('utf8', valueStart, at).trim();
      name = undefined;
      if (byte === closeBrace) depth--;
    } else if (byte === closeBrace || byte === closeBracket) {
      depth--;
    }
  }
  return found;
}
