/** Progress line: drawn over on a terminal, a line now and then elsewhere. */

import type { Output } from './command-io.js';

/** Shows how far something is. */
export interface ProgressLine {
  /** Shows this, unless something was shown a moment ago: the text is made only then. Elsewhere than on a terminal there is no bar. */
  update(text: () => { readonly text: string; readonly share?: number | undefined }): void;
  /** Prints a line without spoiling the one that is drawn. */
  note(text: string): void;
  /** Takes the drawn line away. */
  end(): void;
}

const barCells = 30;

/**
 * Shows progress on `output`: ten times a second at most on a terminal, every five seconds elsewhere and where TERM=dumb says that nothing can
 * be drawn over.
 *
 * @param name stands in front of whole lines, such as `sluice push`.
 */
export function createProgressLine(output: Output, name: string, now: () => number = () => performance.now()): ProgressLine {
  const terminal = output.isTTY === true && process.env.TERM !== 'dumb';
  const everyMs = terminal ? 100 : 5_000;
  let shownAt = terminal ? Number.NEGATIVE_INFINITY : now();
  let drawn = false;
  const clear = (): void => {
    if (drawn) output.write('\r\u001b[K');
    drawn = false;
  };
  return {
    update(make) {
      const at = now();
      if (at - shownAt < everyMs) return;
      shownAt = at;
      const { text, share } = make();
      if (!terminal) {
        output.write(`${name}: ${text}\n`);
        return;
      }
      const cells = share === undefined ? '' : `[${'#'.repeat(Math.round(share * barCells)).padEnd(barCells, '.')}] `;
      output.write(`\r\u001b[K${fitting(cells, text, output.columns)}`);
      drawn = true;
    },
    note(text) {
      clear();
      output.write(`${name}: ${text}\n`);
    },
    end: clear,
  };
}

/** What has room in one row: a row that wraps cannot be drawn over. The bar goes first. */
function fitting(cells: string, text: string, columns = Number.POSITIVE_INFINITY): string {
  // Some terminals wrap when the last column is written.
  const room = columns - 1;
  if (cells.length + text.length <= room) return cells + text;
  return text.length <= room ? text : `${text.slice(0, Math.max(0, room - 1))}…`;
}
