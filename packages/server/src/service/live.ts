/** Live: changes the configuration of a service that runs, shows the change first, and takes it back. */

import { SluiceError } from 'sluice';
import type { Log } from 'sluice/log';
import { type Change, changesNothing, diffConfig } from '../config/diff.js';
import type { Loaded } from '../config/load.js';
import { restartDue, whatRuns, withRestarts } from '../config/restart.js';
import { defineStreams } from './define-streams.js';
import type { Pipelines } from './pipelines.js';
import type { Planes } from './planes.js';
import { streamRules } from './stream-rules.js';

/** The configuration of a service, as it is now. */
export interface Live {
  readonly loaded: Loaded;
  /** What was taken since the start, and waits for a restart: from what runs to what was taken. */
  readonly restartDue: readonly Change[];
  /** What would change. */
  diff(next: Loaded): Change[];
  /**
   * Takes another configuration: limits, keys, tenants, streams and pipelines. What needs a restart stays as it was, and is named.
   *
   * @throws SluiceError what cannot be used of it; everything is as before then.
   */
  apply(next: Loaded): Promise<Change[]>;
  /**
   * Goes back to the configuration before the last one that changed something. A second one in a row is refused: it would bring back what the
   * first one took away.
   *
   * @throws SluiceError `NOTHING_TO_UNDO`
   */
  undo(): Promise<Change[]>;
}

/** What the configuration is applied to. */
export interface LiveParts {
  readonly log: Log;
  readonly planes: Pick<Planes, 'configure'>;
  readonly pipelines: Pick<Pipelines, 'change'>;
}

/** Begins with the configuration that the service was started with. */
export function createLive(started: Loaded, { log, planes, pipelines }: LiveParts): Live {
  let current = started;
  let runs = started.config;
  let before: Loaded | undefined;
  let isUndone = false;
  // One change at a time.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  };

  const diff = ({ config }: Loaded): Change[] =>
    withRestarts(diffConfig(current.config, config), restartDue(whatRuns(runs, config), config));

  async function change(next: Loaded): Promise<Change[]> {
    const changes = diff(next);
    // First what may fail without a trace.
    const rules = await streamRules(next.config.streams, next.folder);
    try {
      await defineStreams(log, next.config.streams);
      await pipelines.change(next.config.pipelines, next.config.streams);
    } catch (error) {
      // The operator must hear of the first failure; a log that cannot be changed back has stopped, and says so itself.
      await defineStreams(log, current.config.streams).catch(() => {});
      throw error;
    }
    planes.configure(next.config, rules);
    // Whoever reloads twice, to be sure, still wants to go back to what was before the first time.
    if (!changesNothing(changes)) {
      before = current;
      isUndone = false;
    }
    current = next;
    runs = whatRuns(runs, next.config);
    return changes;
  }

  return {
    get loaded() {
      return current;
    },
    get restartDue() {
      return restartDue(runs, current.config);
    },
    diff,
    apply: (next) => inTurn(() => change(next)),
    undo: () =>
      inTurn(async () => {
        if (before === undefined) throw nothingToUndo(isUndone);
        const changes = await change(before);
        before = undefined;
        isUndone = true;
        return changes;
      }),
  };
}

function nothingToUndo(isUndone: boolean): SluiceError {
  const why = isUndone ? 'nothing to undo: the last change was an undo' : 'nothing was changed since the start';
  return new SluiceError(why, { code: 'NOTHING_TO_UNDO', class: 'rejected' });
}
