/** Input: the bytes that a push reads, and what to say when they cannot be read. */

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { failure, type SluiceError } from 'sluice';
import { type CommandIo, UsageError } from '../command-io.js';

/** An input that is open. */
export interface Input {
  readonly stream: Readable;
  /** For messages: the path, or `standard input`. */
  readonly name: string;
  /** Part of the ids of wrapped lines. */
  readonly source: string;
  /** Known of a regular file. */
  readonly totalBytes: number | undefined;
  bytesRead: number;
}

/**
 * Opens a file, or standard input for `-`.
 *
 * @throws UsageError when there is no such file, or it cannot be read.
 */
export async function openInput(file: string, source: string | undefined, io: CommandIo): Promise<Input> {
  if (file === '-') {
    if (io.stdin.isTTY === true) io.stderr.write('sluice push: reading from the terminal; end with Ctrl-D\n');
    return { stream: io.stdin, name: 'standard input', source: source ?? 'stdin', totalBytes: undefined, bytesRead: 0 };
  }
  const info = await stat(file).catch((error: unknown) => {
    throw new UsageError(readFailure(error, file).message);
  });
  if (info.isDirectory()) throw new UsageError(`${file} is a folder; name a file, or - for standard input`);
  const stream = createReadStream(file, { highWaterMark: 256 * 1024 });
  await new Promise<void>((resolve, reject) => {
    stream.once('open', () => resolve());
    stream.once('error', (error) => reject(new UsageError(readFailure(error, file).message)));
  });
  const totalBytes = info.isFile() ? info.size : undefined;
  return { stream, name: file, source: source ?? basename(file), totalBytes, bytesRead: 0 };
}

/** The bytes of an input, counted. */
export async function* counted(input: Input): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of input.stream as AsyncIterable<Buffer>) {
    input.bytesRead += chunk.length;
    yield chunk;
  }
}

/** Why an input could not be read; `permanent` where reading it again would end the same way. */
export function readFailure(error: unknown, name: string): SluiceError {
  const { code, message } = error as Error & { code?: string };
  const permanent = (sentence: string): SluiceError => failure(sentence, { code: 'INPUT_UNREADABLE', cause: error });
  if (code === 'ENOENT') return permanent(`there is no file ${name}; check the path, or use - for standard input`);
  if (code === 'EACCES') return permanent(`${name} may not be read by this user`);
  if (code === 'Z_BUF_ERROR') return permanent(`${name} is gzip, but is cut off: its end is missing`);
  if (code?.startsWith('Z_') === true) return permanent(`${name} starts as gzip does, but cannot be inflated: ${message}`);
  return failure(`${name} could not be read: ${message}`, { code: 'INPUT_UNREADABLE', class: 'transient', cause: error });
}
