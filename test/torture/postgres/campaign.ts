/** Campaign: kills a pipeline and its database again and again, then counts: each event is in the table once, or is a dead letter. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../packages/server/src/embedded/postgres.js';
import { query } from '../../../packages/server/test/support/query.js';
import { bundle } from '../../bundle.js';
import { drawFrom } from '../draw.js';
import { isBad, type PipelineEnd, type PipelineOrder } from './pipeline.program.js';

/** What a campaign found. */
export interface CampaignResult {
  /** Empty when all is well. */
  readonly problems: readonly string[];
  readonly processKills: number;
  readonly serverKills: number;
  readonly acknowledged: number;
  readonly rows: number;
  readonly letters: number;
}

/** Where campaigns run: one server, and the program. */
export interface Ground {
  readonly server: EmbeddedPostgres;
  readonly program: string;
  /** A folder for logs. */
  readonly folder: string;
  clear(): Promise<void>;
}

/** @param root of the repository. */
export async function prepareGround(root: string): Promise<Ground> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-torture-'));
  // Below node_modules, so that the program finds `lmdb` and `pg`.
  const cache = join(root, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const programs = await mkdtemp(join(cache, 'sluice-torture-'));
  const program = join(programs, 'pipeline.mjs');
  await writeFile(program, await bundle(join(root, 'test/torture/postgres/pipeline.program.ts')));
  const server = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres') });
  return {
    server,
    program,
    folder,
    async clear() {
      await server.stop({ deadlineMs: 5_000 });
      await rm(join(server.directory, '..'), { recursive: true, force: true });
      await rm(folder, { recursive: true, force: true });
      await rm(programs, { recursive: true, force: true });
    },
  };
}

/** Kills at random moments: mostly the process, each fourth time the server, which is then started again. */
export async function killAtRandom(
  ground: Ground,
  seed: number,
  kills: number,
  tell: (line: string) => void = () => {},
): Promise<CampaignResult> {
  const { server } = ground;
  const draw = drawFrom(seed);
  await fresh(server);
  const base = { log: join(ground.folder, `log-${seed}`), connectionString: server.connectionString };
  const acknowledged: string[] = [];
  const startedAt = performance.now();
  let serverKills = 0;
  for (let kill = 0; kill < kills; kill++) {
    const child = launch(ground, { ...base, mode: 'append', prefix: `k${kill}` });
    // What it prints first shows that it runs; then some appends, or none.
    await child.lines(1 + draw.int(0, 60));
    if (draw.chance(0.25)) {
      serverKills++;
      process.kill(server.pid, 'SIGKILL');
      await child.lines(child.printed().length + draw.int(0, 20));
      if (draw.chance(0.5)) {
        await server.ensureRunning();
        await child.lines(child.printed().length + draw.int(0, 40));
      }
    }
    child.process.kill('SIGKILL');
    await child.ended;
    acknowledged.push(...child.printed().flatMap((line) => line.split(' ')));
    await server.ensureRunning();
    if ((kill + 1) % 20 === 0)
      tell(`${kill + 1} kills, ${rateSince(startedAt, kill + 1)}; ${acknowledged.length} events acknowledged`);
  }
  const end = await finish(ground, { ...base, mode: 'finish', prefix: '' });
  return { ...(await count(server, end, acknowledged)), processKills: kills, serverKills };
}

/** Which steps to die at, and whether with the ledger. */
export interface StepOptions {
  /** Events that the process writes. Default 9. */
  readonly events?: number;
  /** The first step to die at, and how many on the next one lies. Default 1 and 1: each step. */
  readonly first?: number;
  readonly stride?: number;
  readonly ledger?: boolean;
}

/** Dies at one step after the other, until it gets through; a second process then finishes. */
export async function dieAtSteps(
  ground: Ground,
  { events = 9, first = 1, stride = 1, ledger = true }: StepOptions = {},
): Promise<{ readonly problems: readonly string[]; readonly deaths: number }> {
  const { server } = ground;
  const problems: string[] = [];
  let deaths = 0;
  for (let dieAt = first; ; dieAt += stride) {
    await fresh(server);
    const path = join(ground.folder, `step-${dieAt}`);
    const order: PipelineOrder = {
      mode: 'step',
      log: path,
      connectionString: server.connectionString,
      prefix: 'e',
      events,
      ledger,
    };
    const child = launch(ground, { ...order, dieAt });
    const survived = (await child.ended) === 0;
    if (!survived) deaths++;
    const end = survived ? (JSON.parse(child.printed()[0]!) as PipelineEnd) : await finish(ground, order);
    const all = Array.from({ length: events }, (_, i) => `e-${i}`);
    const found = await count(server, end, all);
    problems.push(...found.problems.map((problem) => `died at step ${dieAt}: ${problem}`));
    await rm(path, { recursive: true, force: true });
    if (survived) return { problems, deaths };
  }
}

/** `npm run torture -- postgres`: kills at random, then a death at each step; prints what it does. */
export async function torturePostgres(
  root: string,
  seed: number,
  kills: number,
  tell: (line: string) => void,
): Promise<readonly string[]> {
  const ground = await prepareGround(root);
  try {
    tell(`postgres, seed ${seed}: ${kills} kills`);
    const startedAt = performance.now();
    const { problems, serverKills, acknowledged, rows, letters } = await killAtRandom(ground, seed, kills, tell);
    tell(
      `${acknowledged} events acknowledged; the server was killed ${serverKills} times; ${rows} rows, ${letters} dead letters; with the end of it ${rateSince(startedAt, kills)}`,
    );
    const steps = await dieAtSteps(ground);
    tell(`a death at each of ${steps.deaths} steps`);
    return [...problems, ...steps.problems];
  } finally {
    await ground.clear();
  }
}

function rateSince(startedAt: number, kills: number): string {
  const minutes = (performance.now() - startedAt) / 60_000;
  return `${(kills / minutes).toFixed(1)} a minute`;
}

async function fresh(server: EmbeddedPostgres): Promise<void> {
  await query(server.connectionString, 'DROP SCHEMA public CASCADE; CREATE SCHEMA public');
}

async function count(server: EmbeddedPostgres, end: PipelineEnd, acknowledged: readonly string[]) {
  const rows = await query<{ id: string; n: number }>(
    server.connectionString,
    'SELECT id, count(*)::int AS n FROM torture GROUP BY id',
  );
  const numberOf = (id: string) => Number(id.split('-')[1]);
  const written = new Map(rows.map(({ id, n }) => [id, n]));
  const letters = new Set(end.letters);
  const problems = [
    ...rows.filter(({ n }) => n > 1).map(({ id, n }) => `${id} is in the table ${n} times`),
    ...rows
      .filter(({ id }) => isBad(numberOf(id)) || letters.has(id))
      .map(({ id }) => `${id} is in the table and should be dead`),
    ...acknowledged
      .filter((id) => (isBad(numberOf(id)) ? !letters.has(id) : !written.has(id)))
      .map((id) => `${id} was acknowledged and is lost`),
    ...(letters.size === end.letters.length ? [] : ['a letter is there twice']),
    ...(end.leftInLog === 0 ? [] : [`${end.leftInLog} records are left in the log`]),
  ];
  return { problems, acknowledged: acknowledged.length, rows: rows.length, letters: letters.size };
}

async function finish(ground: Ground, order: PipelineOrder): Promise<PipelineEnd> {
  const child = launch(ground, order);
  const code = await child.ended;
  const [line] = child.printed();
  if (code !== 0 || line === undefined) throw new Error(`the process that was to finish ended with ${code}: ${child.errors()}`);
  return JSON.parse(line) as PipelineEnd;
}

function launch(ground: Ground, order: PipelineOrder) {
  const child: ChildProcess = spawn(process.execPath, [ground.program, JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  let watch = () => {};
  child.stdout!.on('data', (chunk) => {
    out += chunk;
    watch();
  });
  child.stderr!.on('data', (chunk) => {
    err += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  // A line without its end was not printed.
  const printed = () => out.split('\n').slice(0, -1);
  return {
    process: child,
    ended,
    printed,
    errors: () => err,
    /** Resolves once so many lines were printed. */
    async lines(wanted: number): Promise<void> {
      const enough = new Promise<void>((resolve) => {
        watch = () => {
          if (printed().length >= wanted) resolve();
        };
        watch();
      });
      await Promise.race([enough, ended.then(() => Promise.reject(new Error(`the process ended by itself: ${err}`)))]);
    },
  };
}
