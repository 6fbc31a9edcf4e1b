/** Config routes: the configuration as it is, what a reload would change, the reload itself, and the way back. */

import type { FastifyInstance } from 'fastify';
import { SluiceError } from 'sluice';
import { type Change, changeText } from '../config/diff.js';
import type { Loaded } from '../config/load.js';
import { ConfigError } from '../config/problem.js';
import { reread } from '../config/reread.js';
import { withoutSecrets } from '../config/secrets.js';
import { HttpError } from '../gateway/http-error.js';
import { checkParameters, isSet } from '../gateway/parameters.js';
import type { Live } from '../service/live.js';

/** Adds the routes. */
export function addConfigRoutes(app: FastifyInstance, { live }: { readonly live: () => Live | undefined }): void {
  const started = (): Live => {
    const found = live();
    if (found !== undefined) return found;
    throw new HttpError(503, 'STARTING', 'the service has not started yet', { 'retry-after': '1' });
  };
  app.get('/v1/config', async () => {
    const { loaded, restartDue } = started();
    return { file: loaded.file ?? null, config: withoutSecrets(loaded.config), restartDue: restartDue.map(changeJson) };
  });
  app.post<{ Querystring: { dry?: string } }>('/v1/config/reload', async ({ query }) => {
    checkParameters(query, ['dry']);
    const isDry = isSet('dry', query.dry);
    const next = await read(started());
    const changes = isDry ? started().diff(next) : await changed(started().apply(next));
    return changesJson(changes, started(), !isDry);
  });
  app.post<{ Querystring: Record<string, string> }>('/v1/config/undo', async ({ query }) => {
    checkParameters(query, []);
    try {
      return changesJson(await changed(started().undo()), started(), true);
    } catch (error) {
      if ((error as { code?: string }).code === 'NOTHING_TO_UNDO')
        throw new HttpError(409, 'NOTHING_TO_UNDO', (error as Error).message);
      throw error;
    }
  });
}

/** What the configuration is at fault for is refused; anything else is told too, for whoever reloads must look after it. */
async function changed(change: Promise<Change[]>): Promise<Change[]> {
  try {
    return await change;
  } catch (error) {
    if (!(error instanceof SluiceError) || error.class === 'rejected') throw error;
    const why = error.message.replace(/\.$/, '');
    const message = `the change failed, and was taken back: ${why}; \`sluice pipelines ls\` says how each pipeline is now`;
    throw new HttpError(500, 'RELOAD_FAILED', message);
  }
}

async function read(live: Live): Promise<Loaded> {
  try {
    return await reread(live.loaded);
  } catch (error) {
    if (error instanceof ConfigError) throw new HttpError(400, 'INVALID_CONFIG', error.message);
    throw error;
  }
}

/** `restartDue` also holds what earlier reloads have left for a restart. */
function changesJson(changes: readonly Change[], { restartDue }: Live, applied: boolean): object {
  return { applied, changes: changes.map(changeJson), restartDue: restartDue.map(changeJson) };
}

function changeJson(change: Change): object {
  const { path, kind, needsRestart } = change;
  return { path, kind, needsRestart, text: changeText(change) };
}
