/** Long window: what to say of a window for which items wait so long in memory that a process may well end before. */

import type { SluiceEvent } from '../core/event.js';
import type { Window } from '../core/window.js';

const hourMs = 3_600_000;

/** The warning that a window of an hour or more deserves, where nothing but memory keeps its items; undefined for any other. */
export function longWindow(name: string, window: Window | undefined): Extract<SluiceEvent, { type: 'warning' }> | undefined {
  if (typeof window !== 'object') return undefined;
  const delayMs = 'maxDelayMs' in window ? window.maxDelayMs : 'everyMs' in window ? window.everyMs : window.throttleMs;
  if (delayMs < hourMs) return undefined;
  const minutes = Math.round(delayMs / 60_000);
  const message = `items wait up to ${minutes} minutes in memory, and are lost if the process ends without a close; keep them in a log (sluice/log), or shorten the window.`;
  return { type: 'warning', name, code: 'LONG_WINDOW', message };
}
