/**
 * File sink: NDJSON files that are complete as soon as they have their name. Lines go to a file that ends in `.part` and are on disk
 * when the batch is settled; at its size or age the file is renamed. After a crash, what is on disk of a `.part` file is kept.
 */

import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Cancel, type Env, failure } from 'sluice';
import type { PipelineSink } from '../pipeline-sink.js';

/** What a file sink is told. */
export interface FileSinkOptions {
  /** Absolute path of the folder. */
  readonly dir: string;
  /** Begins the names of the files. */
  readonly name: string;
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  readonly gzip: boolean;
  readonly env: Env;
}

interface Part {
  readonly path: string;
  readonly file: FileHandle;
  bytes: number;
  readonly cancelAge: Cancel;
}

/** A sink that writes files. */
export function fileSink(options: FileSinkOptions): PipelineSink {
  const { dir, name, maxBytes, maxAgeMs, env } = options;
  let part: Part | undefined;
  let number = 0;
  let closed = false;

  // One thing at a time: batches come side by side.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  };
  const prepare = once(() => recover(options));

  async function begin(): Promise<Part> {
    const stamp = new Date(env.clock.wall()).toISOString().replace(/[-:]/g, '').replace('.', '');
    const path = join(dir, `${name}-${stamp}-${process.pid}-${String(number++).padStart(6, '0')}.ndjson.part`);
    const file = await open(path, 'ax');
    await syncFolder(dir);
    return { path, file, bytes: 0, cancelAge: env.clock.after(maxAgeMs, () => void inTurn(finish).catch(() => {})) };
  }

  async function finish(): Promise<void> {
    if (part === undefined) return;
    const { path, file, cancelAge } = part;
    part = undefined;
    cancelAge();
    await file.close();
    await complete(path, options);
  }

  return {
    atomic: true,
    async write(events) {
      const text = events.map((event) => `${event.json.replace(/[\r\n]+/g, ' ')}\n`).join('');
      await inTurn(async () => {
        if (closed) throw failure('the sink is closed', { code: 'CLOSED', class: 'rejected' });
        await prepare();
        part ??= await begin();
        const { file, bytes } = part;
        const data = Buffer.from(text);
        try {
          await file.appendFile(data);
          await file.datasync();
        } catch (error) {
          // Half a batch must not stay: it comes again.
          await file.truncate(bytes).catch(() => {});
          throw fileFailure(error, dir);
        }
        part.bytes += data.length;
        if (part.bytes >= maxBytes) await finish();
      });
    },
    prepare: () => inTurn(prepare),
    close: () =>
      inTurn(async () => {
        closed = true;
        await finish();
      }),
  };
}

/** Makes the folder, and completes what a process that died has left there: whole lines only. */
async function recover(options: FileSinkOptions): Promise<void> {
  const { dir, name } = options;
  try {
    await mkdir(dir, { recursive: true });
    for (const found of await readdir(dir)) {
      if (found.startsWith(`${name}-`) && found.endsWith('.gz.part')) await rm(join(dir, found));
    }
    for (const found of await readdir(dir)) {
      if (!found.startsWith(`${name}-`) || !found.endsWith('.ndjson.part')) continue;
      const path = join(dir, found);
      if ((await cutToWholeLines(path)) === 0) await rm(path);
      else await complete(path, options);
    }
  } catch (error) {
    throw fileFailure(error, dir);
  }
}

/** Cuts off a last line that is not whole; returns the bytes that stay. */
async function cutToWholeLines(path: string): Promise<number> {
  const file = await open(path, 'r+');
  try {
    let { size } = await file.stat();
    const block = Buffer.alloc(64 * 1024);
    while (size > 0) {
      const from = Math.max(0, size - block.length);
      const { bytesRead } = await file.read(block, 0, size - from, from);
      const at = block.subarray(0, bytesRead).lastIndexOf(0x0a);
      if (at >= 0) {
        await file.truncate(from + at + 1);
        return from + at + 1;
      }
      size = from;
    }
    return 0;
  } finally {
    await file.close();
  }
}

/** Gives a file its name. */
async function complete(path: string, { dir, gzip }: FileSinkOptions): Promise<void> {
  const name = path.slice(0, -'.part'.length);
  if (!gzip) {
    await rename(path, name);
  } else {
    await pipeline(createReadStream(path), createGzip(), createWriteStream(`${name}.gz.part`, { flush: true }));
    await rename(`${name}.gz.part`, `${name}.gz`);
    await rm(path);
  }
  await syncFolder(dir);
}

/** A new name is on disk once its folder is. */
async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function fileFailure(error: unknown, dir: string): Error {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const blocked = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'ENOENT'].includes(code);
  return failure(`cannot write to ${dir}: ${message}`, {
    code: `FILE_${code || 'FAILED'}`,
    class: blocked ? 'blocked' : 'transient',
    cause: error,
  });
}

/** Runs until it succeeds, then no more. */
function once(work: () => Promise<void>): () => Promise<void> {
  let done = false;
  return async () => {
    if (done) return;
    await work();
    done = true;
  };
}
