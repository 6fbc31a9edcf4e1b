/** Faults: what happens to a service in its life. One of its surroundings and one of itself at a time, drawn by the seed. */

import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Draw } from '../torture/draw.js';
import type { Mood } from './receiver.js';
import type { World } from './world.js';

/** A fault; it ends with everything in order again. */
export interface Fault {
  readonly name: string;
  run(): Promise<void>;
}

/** What can go wrong around the service. */
export function faultsAround({ receiver, database, disk, draw }: World): Fault[] {
  const mood = (name: string, changed: Mood): Fault => ({
    name,
    async run() {
      receiver.mood = changed;
      await sleep(draw.int(500, 3_000));
      receiver.mood = 'well';
    },
  });
  return [
    mood('the receiver answers 503', 'refuses'),
    mood('the receiver hangs', 'hangs'),
    mood('the receiver takes batches and loses its answers', 'forgets'),
    mood('the receiver refuses a third of each batch', 'partly'),
    { name: 'PostgreSQL is killed', run: () => database.kill(draw.int(0, 1_500)) },
    { name: 'PostgreSQL stands still', run: () => database.freeze(draw.int(500, 3_000)) },
    ...(disk === undefined ? [] : [{ name: 'the disk is nearly full', run: () => disk.fill(draw.int(1_500, 2_500)) }]),
  ];
}

/** What is done to the service, or by its clients. */
export function faultsWithin(world: World): Fault[] {
  const { service, control, senders, accounts, draw, report, configure } = world;
  return [
    {
      name: 'clients vanish',
      async run() {
        for (let i = draw.int(5, 20); i > 0; i--) await senders.vanish();
      },
    },
    {
      name: 'reload',
      async run() {
        configure(draw);
        await control.ask('POST', '/v1/config/reload');
        await sleep(draw.int(100, 1_000));
        if (draw.chance(0.3)) await control.ask('POST', '/v1/config/undo');
        configure(draw);
        service.signal('SIGHUP');
      },
    },
    {
      name: 'reload of a wrong file',
      async run() {
        writeFileSync(world.configFile, 'pipelines: { once: { sink: { type: nonsense } } }\n');
        const taken = await control.ask('POST', '/v1/config/reload').then(
          () => true,
          () => false,
        );
        if (taken) report('a configuration that is wrong was taken');
        configure();
      },
    },
    {
      name: 'a pipeline is paused',
      async run() {
        const pipeline = draw.pick(['once', 'archive', 'hook', 'local']);
        await control.ask('POST', `/v1/pipelines/${pipeline}/pause`);
        await sleep(draw.int(100, 2_000));
        await control.ask('POST', `/v1/pipelines/${pipeline}/resume`);
      },
    },
    {
      name: 'SIGTERM',
      async run() {
        const { code, out, err } = await service.end('SIGTERM');
        if (code !== 0 || !/^ {2}lost +0\b/m.test(out))
          report(`SIGTERM ended life ${service.life} with ${code}:\n${out.slice(-800)}${err}`);
        await sleep(draw.int(0, 500));
        await service.start();
      },
    },
    {
      name: 'kill -9',
      async run() {
        accounts.killed(service.life);
        await service.end('SIGKILL');
        await sleep(draw.int(0, 500));
        await service.start();
      },
    },
  ];
}

/** All in a random order, then all in another one, and so on. */
export function deck<T>(cards: readonly T[], draw: Draw): () => T {
  let left: T[] = [];
  return () => {
    if (left.length === 0) left = [...cards];
    return left.splice(draw.int(0, left.length - 1), 1)[0]!;
  };
}
