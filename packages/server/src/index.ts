/** `@sluice/server`: the service as a library. The program `sluice` is the usual way to run it. */

export type { Config, ConfigInput } from './config/config.js';
export { defineConfig } from './config/define.js';
export type { Handler, PipelineEvent, Verdict } from './config/pipeline-schema.js';
export { type Service, startService } from './service/service.js';
export type { StopReport } from './service/stop.js';
