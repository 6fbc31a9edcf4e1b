/** Ink: colours, on a terminal alone. */

import type { Output } from './command-io.js';

/** Colours by what they say. */
export interface Ink {
  good(text: string): string;
  bad(text: string): string;
  worth(text: string): string;
  faint(text: string): string;
}

/** Colours where `output` is a terminal that knows them, and neither NO_COLOR (no-color.org) nor TERM=dumb says otherwise; else none. */
export function inkFor(output: Output, environment: Readonly<Record<string, string | undefined>> = process.env): Ink {
  const coloured = output.isTTY === true && (environment.NO_COLOR ?? '') === '' && environment.TERM !== 'dumb';
  const colour =
    (number: number) =>
    (text: string): string =>
      coloured ? `\u001b[${number}m${text}\u001b[0m` : text;
  return { good: colour(32), bad: colour(31), worth: colour(33), faint: colour(2) };
}
