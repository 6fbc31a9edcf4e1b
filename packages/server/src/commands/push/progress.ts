/** Progress: a bar on a terminal, a line now and then elsewhere, nothing when quiet. */

import type { Output } from '../command-io.js';

/** Shows how far a push is. */
export interface Progress {
  update(state: { readonly settled: number; readonly bytesRead: number }): void;
  /** Prints a line without spoiling the bar. */
  note(text: string): void;
  /** Takes the bar away. */
  end(): void;
}

const barCells = 30;

/**
 * Shows progress on `output`.
 *
 * @param totalBytes of the input, when it is known.
 */
export function createProgress(
  output: Output,
  totalBytes: number | undefined,
  now: () => number = () => performance.now(),
): Progress {
  const terminal = output.isTTY === true;
  const everyMs = terminal ? 100 : 5_000;
  const startedAt = now();
  let shownAt = terminal ? Number.NEGATIVE_INFINITY : startedAt;
  let drawn = false;

  const clear = (): void => {
    if (drawn) output.write('\r\u001b[K');
    drawn = false;
  };
  return {
    update({ settled, bytesRead }) {
      const at = now();
      if (at - shownAt < everyMs) return;
      shownAt = at;
      const rate = Math.round((settled * 1_000) / Math.max(1, at - startedAt));
      const share = totalBytes === undefined || totalBytes === 0 ? undefined : Math.min(1, bytesRead / totalBytes);
      const text = `${settled} items acknowledged, ${rate}/s${share === undefined ? '' : `, ${Math.floor(share * 100)} % read`}`;
      if (!terminal) {
        output.write(`sluice push: ${text}\n`);
        return;
      }
      const cells = share === undefined ? '' : `[${'#'.repeat(Math.round(share * barCells)).padEnd(barCells, '.')}] `;
      output.write(`\r\u001b[K${cells}${text}`);
      drawn = true;
    },
    note(text) {
      clear();
      output.write(`sluice push: ${text}\n`);
    },
    end: clear,
  };
}
