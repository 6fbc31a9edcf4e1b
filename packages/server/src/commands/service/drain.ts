/** `sluice drain`: stops a service in order, from afar. */

import { setTimeout as pause } from 'node:timers/promises';
import type { SluiceError } from 'sluice';
import type { CommandIo } from '../command-io.js';
import { type ControlClient, withControl } from '../control-client.js';
import { interruptible } from '../interrupt.js';
import { counted } from '../log/print.js';
import { createProgressLine } from '../progress-line.js';
import type { ControlFlags } from '../service-flags.js';

/** Options of {@link drain}. */
export interface DrainOptions extends ControlFlags {
  /** Resolves when the service has stopped and its data folder is free. Default false: when it has begun to. */
  readonly wait?: boolean;
  readonly io: CommandIo;
  /** Stops the waiting, as SIGINT does. */
  readonly signal?: AbortSignal;
}

const askMs = 200;

/**
 * Asks a service to stop; resolves with the exit code: 1 when the waiting was interrupted. Whether anything stayed behind is what the service
 * itself reports when it exits, and its exit code.
 */
export function drain({ io, wait = false, signal, ...flags }: DrainOptions): Promise<number> {
  return interruptible(
    (interrupted) =>
      withControl(flags, async (control) => {
        const { address } = control;
        await control.ask<{ readonly draining: boolean }>('POST', '/v1/drain', 'draining');
        const stopped = wait && (await untilGone(control, io, interrupted));
        if (flags.json) io.stdout.write(`${JSON.stringify({ draining: true, stopped })}\n`);
        else if (stopped) io.stdout.write(`The service at ${address} has stopped; its own output has the report.\n`);
        else io.stdout.write(`The service at ${address} drains; its own output has the report when it is done.\n`);
        return wait && !stopped ? 1 : 0;
      }),
    signal,
  );
}

async function untilGone(control: ControlClient, io: CommandIo, signal: AbortSignal): Promise<boolean> {
  const progress = createProgressLine(io.stderr, 'sluice drain');
  try {
    while (!signal.aborted) {
      const items = await behind(control);
      if (items === 'gone') return true;
      if (items !== 'closing') progress.update(() => ({ text: `${counted(items, 'record')} to deliver` }));
      await pause(askMs, undefined, { signal }).catch(() => {});
    }
    return false;
  } finally {
    progress.end();
  }
}

/** Records that groups have not settled; or that the control plane is going, or gone. */
async function behind(control: ControlClient): Promise<number | 'closing' | 'gone'> {
  try {
    const { groups } = await control.ask<{ readonly groups: readonly { readonly lag?: { readonly items: number } }[] }>(
      'GET',
      '/v1/groups',
      'groups',
    );
    return groups.reduce((sum, { lag }) => sum + (lag?.items ?? 0), 0);
  } catch (error) {
    const { code } = error as SluiceError;
    return code === 'UNREACHABLE' || code === 'REPLY_LOST' ? 'gone' : 'closing';
  }
}
