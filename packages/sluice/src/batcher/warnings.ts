/** Warnings: what a batcher says of options that are allowed and likely to be regretted. */

import type { SluiceEvent } from '../core/event.js';
import type { Window } from '../core/window.js';
import type { BatcherOptions } from './options.js';

interface Told {
  readonly name: string;
  observe(event: SluiceEvent): void;
}

const hourMs = 3_600_000;

/** Warns, once, of what these options deserve. */
export function warnOf<T, R>(engine: Told, options: BatcherOptions<T, R>): void {
  const { window, bytesOf, maxBytes, maxHeldBytes } = options;
  const warn = (code: 'LONG_WINDOW' | 'BYTES_UNMEASURED', message: string) =>
    engine.observe({ type: 'warning', name: engine.name, code, message });
  const waitMs = longestWaitMs(window);
  if (waitMs >= hourMs)
    warn(
      'LONG_WINDOW',
      `items wait up to ${Math.round(waitMs / 60_000)} minutes in memory, and are lost if the process ends without a close; keep them in a log (sluice/log), or shorten the window.`,
    );
  if (bytesOf === undefined && [maxBytes, maxHeldBytes].some(Number.isFinite))
    warn('BYTES_UNMEASURED', 'maxBytes and maxHeldBytes bound nothing without bytesOf(item).');
}

/** How long a window may hold an item in memory, where a process may well end before. */
function longestWaitMs(window: Window | undefined): number {
  if (typeof window !== 'object') return 0;
  return 'maxDelayMs' in window ? window.maxDelayMs : 'everyMs' in window ? window.everyMs : window.throttleMs;
}
