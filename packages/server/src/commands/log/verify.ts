/**
 * `sluice log verify`: checks a store. The check runs in a process of its own: what maps a damaged file can be killed by it, and that is a
 * finding, not an accident.
 */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { VerifyReport } from 'sluice/log';
import type { CommandIo } from '../command-io.js';
import type { StoreFlags } from './commands.js';
import { counted, plain } from './print.js';
import { storeFolder, withStore } from './store-folder.js';

const program = fileURLToPath(new URL('../../../bin/sluice.js', import.meta.url));
/** Set in the process that checks. */
const inside = 'SLUICE_LOG_VERIFY_INSIDE';

/** Options of {@link verify}. */
export interface VerifyOptions extends StoreFlags {
  readonly io: CommandIo;
}

/** Checks a store and prints what it found; resolves with the exit code: 0 when it is sound, 1 when it is not. */
export async function verify({ io, ...flags }: VerifyOptions): Promise<number> {
  if (process.env[inside] !== undefined) return check(flags, io);
  const args = ['log', 'verify', '--data', flags.data, ...(flags.store === undefined ? [] : ['--store', flags.store])];
  const child = spawn(process.execPath, [program, ...args, ...(flags.json ? ['--json'] : [])], {
    env: { ...process.env, [inside]: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => io.stdout.write(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => io.stderr.write(text));
  const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  if (code !== null) return code;
  return damaged(flags, io, `the process that read it was ended by ${signal}`);
}

function damaged(flags: StoreFlags, io: CommandIo, how: string): number {
  const message = `the store in ${storeFolder(flags)} is damaged: ${how}; restore it from a backup`;
  if (flags.json) io.stdout.write(`${JSON.stringify({ sound: false, problems: [{ kind: 'page', message }] })}\n`);
  else io.stdout.write(`${message}.\n`);
  return 1;
}

async function check(flags: StoreFlags, io: CommandIo): Promise<number> {
  const report = await withStore(flags, (reader) => reader.verify().catch((thrown: unknown) => messageOf(thrown)));
  // Often the damage does not kill the process: LMDB, or what decodes a row, refuses the page in words of its own.
  if (typeof report === 'string') return damaged(flags, io, `reading it failed (${plain(report)})`);
  const isSound = report.problems.length === 0;
  if (flags.json) io.stdout.write(`${JSON.stringify({ sound: isSound, ...report })}\n`);
  else io.stdout.write(`${textOf(report).join('\n')}\n`);
  return isSound ? 0 : 1;
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

function textOf({ problems, ...found }: VerifyReport): string[] {
  const what = [
    counted(found.streams, 'stream'),
    counted(found.chunks, 'chunk'),
    counted(found.records, 'record'),
    counted(found.groups, 'group'),
    counted(found.letters, 'dead letter'),
    counted(found.ids, 'id'),
  ].join(', ');
  if (problems.length === 0) return [`sound: ${what}`];
  return [
    ...problems.map(({ kind, message }) => `${kind}: ${plain(message)}`),
    `${counted(problems.length, 'problem')} in ${what}`,
  ];
}
