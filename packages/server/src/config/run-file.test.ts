/** Tests of running files of the user's, as they are now. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runFile } from './run-file.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-run-file-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const write = (name: string, text: string) => writeFileSync(join(folder, name), text);

describe('a file of the user', () => {
  it.each([
    ['module.mjs', '{}', (n: number) => `export const named = await Promise.resolve(${n}); export default ${n};`],
    ['module.js', '{"type":"module"}', (n: number) => `export const named = ${n}; export default ${n};`],
    ['module.js', '{}', (n: number) => `module.exports = { named: ${n}, default: ${n} };`],
    ['module.cjs', '{}', (n: number) => `exports.named = ${n}; exports.default = ${n};`],
    ['module.ts', '{"type":"module"}', (n: number) => `export const named: number = ${n}; export default named;`],
  ])('%s (in a project of %s) is run as it is now', async (name, manifest, text) => {
    write('package.json', manifest);
    for (const n of [1, 2]) {
      write(name, text(n));
      expect(await runFile(join(folder, name))).toMatchObject({ named: n, default: n });
    }
  });

  it('may leave its ending away, import what is beside it and other modules, and be CommonJS', async () => {
    mkdirSync(join(folder, 'lib'));
    write('lib/part.ts', 'export const part: string = "part";');
    write(
      'whole.ts',
      'import { basename } from "node:path"; import { part } from "./lib/part.js"; export default basename(part);',
    );
    expect(await runFile(join(folder, 'whole'))).toMatchObject({ default: 'part' });
    write('function.cjs', 'module.exports = () => "made";');
    const { default: made } = await runFile(join(folder, 'function.cjs'));
    expect((made as () => string)()).toBe('made');
  });

  it('that is not there, or throws, is told by its own error', async () => {
    await expect(runFile(join(folder, 'none.js'))).rejects.toThrow(/ENOENT/);
    write('bad.mjs', 'throw new Error("no good");');
    await expect(runFile(join(folder, 'bad.mjs'))).rejects.toThrow('no good');
  });
});
