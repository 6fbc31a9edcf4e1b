/** Progress of a push: what was acknowledged, how fast, and how much of the input was read. */

import type { Output } from '../command-io.js';
import { createProgressLine, type ProgressLine } from '../progress-line.js';

/** Shows how far a push is. */
export interface Progress extends Pick<ProgressLine, 'note' | 'end'> {
  update(state: { readonly settled: number; readonly bytesRead: number }): void;
}

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
  const startedAt = now();
  const { update, note, end } = createProgressLine(output, 'sluice push', now);
  return {
    update: ({ settled, bytesRead }) =>
      update(() => {
        const rate = Math.round((settled * 1_000) / Math.max(1, now() - startedAt));
        const share = totalBytes === undefined || totalBytes === 0 ? undefined : Math.min(1, bytesRead / totalBytes);
        const read = share === undefined ? '' : `, ${Math.floor(share * 100)} % read`;
        return { text: `${settled} ${settled === 1 ? 'item' : 'items'} acknowledged, ${rate}/s${read}`, share };
      }),
    note,
    end,
  };
}
