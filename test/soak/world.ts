/** World: everything that a soak runs on, in one temporary folder, and gone after it. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Draw, drawFrom } from '../torture/draw.js';
import { type Accounts, createAccounts } from './accounts.js';
import { configurationText, handlerText, newSetting } from './configuration.js';
import { type ControlClient, controlClient } from './control.js';
import { type SoakedDatabase, startDatabase } from './database.js';
import { mountSmallDisk, type SmallDisk } from './disk.js';
import { type Receiver, startReceiver } from './receiver.js';
import { type Senders, startSenders } from './senders.js';
import { type SoakedService, soakedService } from './service.js';

/** What a soak runs on. */
export interface World {
  readonly folder: string;
  readonly configFile: string;
  /** Writes the configuration: with a draw, another one. */
  readonly configure: (draw?: Draw) => void;
  readonly draw: Draw;
  readonly service: SoakedService;
  readonly control: ControlClient;
  readonly database: SoakedDatabase;
  readonly receiver: Receiver;
  /** `undefined`: it cannot be made here. */
  readonly disk: SmallDisk | undefined;
  readonly accounts: Accounts;
  readonly senders: Senders;
  /** What was not as it should be. */
  readonly problems: readonly string[];
  readonly report: (problem: string) => void;
  clear(): Promise<void>;
}

/** Problems that are kept: the first ones tell. */
const maxProblems = 50;

/** Starts it: the service takes events when this resolves. */
export async function createWorld(root: string, seed: number): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-soak-'));
  const undo: (() => Promise<unknown> | unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  const clear = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const disk = mountSmallDisk(join(folder, 'data'));
    if (disk !== undefined) undo.push(() => disk.remove());
    const database = await startDatabase(folder);
    undo.push(() => database.remove());
    const receiver = await startReceiver();
    undo.push(() => receiver.close());
    const setting = await newSetting({ dataDir: join(folder, 'data'), database: database.url, receiver: receiver.url });
    const configFile = join(folder, 'sluice.config.yaml');
    const configure = (draw?: Draw) => writeFileSync(configFile, configurationText(setting, draw));
    configure();
    writeFileSync(join(folder, 'handler.js'), handlerText);
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(folder, 'notes.txt'), '');
    const service = soakedService(root, folder);
    undo.push(() => service.end('SIGKILL'));
    await service.start();
    const problems: string[] = [];
    const report = (problem: string) => void (problems.length < maxProblems && problems.push(problem));
    const draw = drawFrom(seed);
    const accounts = createAccounts();
    const senders = startSenders({ setting, accounts, draw: drawFrom(seed + 1), life: () => service.life, problem: report });
    undo.push(() => senders.stop());
    const control = controlClient(setting);
    return {
      ...{ folder, configFile, configure, draw, service, control, database, receiver, disk, accounts, senders },
      ...{ problems, report, clear },
    };
  } catch (error) {
    await clear();
    throw error;
  }
}
