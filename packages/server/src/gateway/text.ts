/** Text: what JSON may say and PostgreSQL cannot store. */

const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const quote = 0x22;
const backslash = 0x5c;

/**
 * What is wrong with the text of a valid JSON value, anywhere in its strings and names: an escaped NUL or an escaped half of a
 * surrogate pair. `undefined` when nothing is.
 */
export function textProblem(json: Buffer): string | undefined {
  let at = json.indexOf('\\u');
  if (at === -1) return undefined;
  // An escape is read from its start: in `\\u0000` the first backslash escapes the second, and `u0000` is plain text.
  while (at > 0 && json[at - 1] === backslash) at--;
  for (; at !== -1 && at < json.length; at = json.indexOf(backslash, at)) {
    if (json[at + 1] !== 0x75) {
      at += 2;
      continue;
    }
    const unit = codeUnit(json, at);
    if (unit === 0) return 'a string holds \\u0000, which PostgreSQL cannot store';
    at += 6;
    if (unit < 0xd800 || unit > 0xdfff) continue;
    const paired = unit <= 0xdbff && json[at] === backslash && json[at + 1] === 0x75;
    const low = paired ? codeUnit(json, at) : 0;
    if (low < 0xdc00 || low > 0xdfff)
      return `a string holds a lone surrogate (\\u${unit.toString(16)}), which is not Unicode text`;
    at += 6;
  }
  return undefined;
}

/** True when objects and arrays are nested deeper than `maxDepth`. Linear, and it never recurses. */
export function isTooDeep(json: Buffer, maxDepth: number): boolean {
  // Each level takes an opening and a closing byte.
  if (json.length < 2 * maxDepth) return false;
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === quote) {
      at++;
      while (at < json.length && json[at] !== quote) at += json[at] === backslash ? 2 : 1;
    } else if (byte === openBrace || byte === openBracket) {
      depth++;
      if (depth > maxDepth) return true;
    } else if (byte === closeBrace || byte === closeBracket) {
      depth--;
    }
  }
  return false;
}

function codeUnit(json: Buffer, at: number): number {
  return Number.parseInt(json.toString('latin1', at + 2, at + 6), 16);
}
