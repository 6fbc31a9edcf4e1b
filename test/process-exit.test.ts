/** R-246, D-41: an open window keeps the process alive; a closed batcher holds nothing, and the script ends by itself. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundle } from './bundle.js';

const run = promisify(execFile);
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-exit-'));
  const entry = fileURLToPath(new URL('../packages/sluice/src/batcher/batcher.ts', import.meta.url));
  await writeFile(join(folder, 'batcher.mjs'), await bundle(entry));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** What a script prints that is given a batcher whose sink prints its items; fails when it does not end by itself. */
async function script(name: string, body: string): Promise<string> {
  const file = join(folder, `${name}.mjs`);
  const sink = '{ write: async (items) => console.log(items.join()) }';
  await writeFile(
    file,
    `import { createBatcher } from './batcher.mjs';\nconst sink = ${sink};\n${body}\nprocess.on('exit', () => console.log('exit'));`,
  );
  const { stdout } = await run(process.execPath, [file], { timeout: 20_000 });
  return stdout.trim().replaceAll('\n', ' ');
}

it('R-246, D-41, W-6: a script with an open window does not end before its items are written, though nobody awaits them', async () => {
  expect(await script('offer', 'createBatcher({ sink, window: { maxDelayMs: 50 } }).offer(1);')).toBe('1 exit');
});

it('nor under the tick window', async () => {
  expect(await script('tick', "createBatcher({ sink, window: 'tick' }).offer(1);")).toBe('1 exit');
});

it('a script ends at once when its batcher is closed, or was never used', async () => {
  const body =
    'const b = createBatcher({ sink, window: { maxDelayMs: 3_600_000 } }); b.offer(1); await b.close({ deadlineMs: 3_600_000 });';
  expect(await script('close', body)).toBe('1 exit');
  expect(await script('unused', 'createBatcher({ sink });')).toBe('exit');
});

it('a script whose pushes fail unobserved ends without an error (D-31)', async () => {
  const failing = "createBatcher({ sink: { write() { throw new Error('down'); } }, window: { maxDelayMs: 1 } }).push(1);";
  expect(await script('fail', failing)).toBe('exit');
});
