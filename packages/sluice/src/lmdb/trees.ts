/** The trees of a store: one LMDB environment, opened for writing or for reading alone. */

import { randomUUID } from 'node:crypto';
import { open, type RootDatabase } from 'lmdb';
import { SluiceError } from '../core/errors.js';
import { checkReadable, flushFolder, prepareFolder, unreadable, unwritable } from './folder.js';
import { formatVersion, readCount, writeCount } from './keys.js';
import type { Tree, Trees } from './store.js';

/** An open environment. */
export interface OpenTrees {
  readonly root: RootDatabase<Buffer, Buffer>;
  readonly trees: Trees;
  /** A UUID that the store got when it was made. */
  readonly id: string;
}

/**
 * Opens the trees in a folder: for writing, when they are made if absent, or for reading alone, while another process may write.
 *
 * @throws SluiceError `LOG_UNWRITABLE`, `LOG_VERSION`, `LOG_CORRUPT`.
 */
export function openTrees(path: string, mode: 'write' | 'read' = 'write'): OpenTrees {
  if (mode === 'write') prepareFolder(path);
  else checkReadable(path);
  let root: RootDatabase<Buffer, Buffer> | undefined;
  try {
    root = open<Buffer, Buffer>({
      path,
      noSubdir: false,
      maxDbs: 12,
      encoding: 'binary',
      keyEncoding: 'binary',
      // The commit itself flushes: fdatasync, then the meta page through an O_DSYNC descriptor. A failed flush therefore rejects the commit,
      // which lmdb's `flushed` promise (overlappingSync) cannot; measured, it is not slower either.
      overlappingSync: false,
      readOnly: mode === 'read',
      // With it, lmdb makes a promise of its own for each turn; when a commit fails nobody handles that one, and the process dies.
      eventTurnBatching: false,
    });
    const trees = openAll(root);
    return { root, trees, id: checkedId(trees.meta, path, mode) };
  } catch (error) {
    void root?.close();
    throw openFailure(path, error);
  }
}

function openAll(root: RootDatabase<Buffer, Buffer>): Trees {
  const tree = (name: string): Tree => root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' });
  return {
    meta: tree('meta'),
    streams: tree('streams'),
    partitions: tree('partitions'),
    chunks: tree('chunks'),
    scopes: tree('scopes'),
    ids: tree('ids'),
    groups: tree('groups'),
    letters: tree('letters'),
  };
}

const formatKey = Buffer.from('format');
const idKey = Buffer.from('id');

/** Checks the version, and gives a new store both. */
function checkedId(meta: Tree, path: string, mode: 'write' | 'read'): string {
  if (mode === 'write' && meta.getBinary(formatKey) === undefined) {
    meta.transactionSync(() => {
      // Another process may have made it meanwhile.
      if (meta.getBinary(formatKey) !== undefined) return;
      meta.putSync(formatKey, writeCount(formatVersion));
      meta.putSync(idKey, Buffer.from(randomUUID()));
    });
    flushFolder(path);
  }
  const found = meta.getBinary(formatKey);
  if (found === undefined) throw unreadable(path, 'it has no format version');
  const version = found.length === 6 ? readCount(found) : 'unreadable';
  const id = meta.getBinary(idKey);
  if (version === formatVersion && id !== undefined) return id.toString();
  if (version === formatVersion) throw unreadable(path, 'it has lost its id');
  throw new SluiceError(
    `the log in ${path} has format version ${version}, and this program reads version ${formatVersion}: let the program that wrote it deliver what it holds, then name another folder`,
    { code: 'LOG_VERSION', class: 'blocked' },
  );
}

function openFailure(path: string, error: unknown): SluiceError {
  if (error instanceof SluiceError) return error;
  if (/permission|read-only|denied|no space/i.test(messageOf(error))) return unwritable(path, error);
  return unreadable(path, messageOf(error), error);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
