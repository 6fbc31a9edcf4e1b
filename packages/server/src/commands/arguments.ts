/** Arguments of the command line: numbers as people write them, and what every help says of the exit codes. */

import { InvalidArgumentError } from 'commander';

/** What every help ends with. */
export const exitCodes = `
Exit codes:
  0  all went well
  1  something failed, was refused or was lost; the message says what
  2  the command was called wrongly, or with a file that cannot be read`;

/** A whole number in digits. */
export function whole(what: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Expected ${what} from ${least} to ${most}, in digits.`);
  };
}

/** A number. */
export function decimal(what: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Expected ${what} from ${least} to ${most}.`);
  };
}
