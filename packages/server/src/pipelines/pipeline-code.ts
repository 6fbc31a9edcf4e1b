/** Pipeline code: the functions of a pipeline that a user wrote, run before anything of the pipeline is stopped or opened. */

import type { Config, PipelineConfig } from '../config/config.js';
import type { Handler } from '../config/pipeline-schema.js';
import type { Transform } from './transform.js';
import { upcastOf } from './upcast.js';
import { userFunction } from './user-function.js';

/** The functions of a pipeline. */
export interface PipelineCode {
  readonly transform: Transform;
  /** Of its module sinks: that of the main one under the empty name, the others under those of their branches. */
  readonly handlers: ReadonlyMap<string, Handler>;
}

/**
 * Runs the modules that a pipeline names.
 *
 * @param folder what their paths are relative to.
 * @throws SluiceError `INVALID_OPTION` when one of them cannot be run, or lacks the function.
 */
export async function pipelineCode(
  name: string,
  config: PipelineConfig,
  streams: Config['streams'],
  folder: string,
): Promise<PipelineCode> {
  const named = <F extends (...args: never[]) => unknown>(given: string | F | undefined, what: string) =>
    given === undefined ? undefined : userFunction<F>(given, folder, `pipelines.${name}.${what}`);
  const transform = {
    upcast: await upcastOf(config.stream ?? name, streams, folder),
    filter: await named(config.filter, 'filter'),
    map: await named(config.map, 'map'),
    branch: await named(config.branch, 'branch'),
  };
  const handlers = new Map<string, Handler>();
  for (const [branch, sink] of [['', config.sink], ...Object.entries(config.branches)] as const) {
    const what = branch === '' ? 'sink.handler' : `branches.${branch}.handler`;
    if (sink.type === 'module') handlers.set(branch, (await named<Handler>(sink.handler, what))!);
  }
  return { transform, handlers };
}
