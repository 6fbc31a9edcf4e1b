/** `sluice reload`: what has changed in the configuration, shown first, then applied; or the way back. */

import { type CommandIo, UsageError } from '../command-io.js';
import { type ControlClient, withControl } from '../control-client.js';
import { type Ink, inkFor } from '../ink.js';
import { counted, plain } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';

/** Options of {@link reload}. */
export interface ReloadOptions extends ControlFlags {
  /** Shows only. Default false. */
  readonly dryRun?: boolean;
  /** Goes back to the configuration before the last reload that changed something. Default false. */
  readonly undo?: boolean;
  readonly io: CommandIo;
}

interface Changes {
  readonly applied: boolean;
  readonly changes: readonly ChangeAnswer[];
  /** What was taken, now or before, and waits for a restart. */
  readonly restartDue: readonly ChangeAnswer[];
}

interface ChangeAnswer {
  readonly path: string;
  readonly kind: string;
  readonly needsRestart: boolean;
  readonly text: string;
}

/** Reloads; resolves with the exit code: 1 when the configuration cannot be used, and nothing has changed. */
export function reload({ io, dryRun = false, undo = false, ...flags }: ReloadOptions): Promise<number> {
  if (dryRun && undo) throw new UsageError('--undo cannot be tried with --dry-run; leave one of them away');
  return withControl(flags, async (control) => {
    const print = (text: string): void => void (flags.json || io.stdout.write(text));
    const ink = inkFor(io.stdout);
    const shown = undo ? undefined : await ask(control, '/v1/config/reload', { dry: 'true' });
    print(shown === undefined ? '' : diffText(shown.changes, ink));
    // An empty diff is applied all the same: a schema beside the configuration may be another now.
    const done = dryRun ? shown! : await ask(control, undo ? '/v1/config/undo' : '/v1/config/reload');
    // Between the two questions somebody may have saved the file again.
    const other = shown !== undefined && JSON.stringify(done.changes) !== JSON.stringify(shown.changes);
    if (undo || (other && !dryRun)) print(`${other ? 'The file has changed meanwhile:\n' : ''}${diffText(done.changes, ink)}`);
    print(closing(done, dryRun));
    print(waiting(done, ink));
    if (flags.json) io.stdout.write(`${JSON.stringify(done)}\n`);
    return 0;
  });
}

function ask(control: ControlClient, path: string, query: Readonly<Record<string, string>> = {}): Promise<Changes> {
  return control.ask<Changes>('POST', path, 'changes', query);
}

function diffText(changes: readonly ChangeAnswer[], ink: Ink): string {
  const colours: Readonly<Record<string, (text: string) => string>> = {
    added: ink.good,
    removed: ink.bad,
    changed: ink.worth,
    anew: ink.faint,
  };
  return changes.map(({ kind, text }) => `${(colours[kind] ?? String)(plain(text))}\n`).join('');
}

function closing({ changes: all }: Changes, dryRun: boolean): string {
  const changes = all.filter(({ kind }) => kind !== 'anew');
  if (changes.length === 0) return 'No option has changed.\n';
  const later = changes.filter(({ needsRestart }) => needsRestart).length;
  const restart = later === 0 ? '' : `; ${later} of them only after a restart`;
  return dryRun
    ? `${counted(changes.length, 'change')}${restart}. Nothing was applied.\n`
    : `Applied ${counted(changes.length, 'change')}${restart}.\n`;
}

/** What waits for a restart, unless it was just shown. */
function waiting({ changes, restartDue }: Changes, ink: Ink): string {
  const shown = new Set(changes.map(({ path }) => path));
  const others = restartDue.filter(({ path }) => !shown.has(path));
  return others.length === 0 ? '' : `From earlier reloads, and not in use before a restart:\n${diffText(others, ink)}`;
}
