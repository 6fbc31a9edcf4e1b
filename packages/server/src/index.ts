/** `@sluice/server`: the service as a library. The program `sluice` is the usual way to run it. */

export { type Service, startService } from './service/service.js';
export type { Settings } from './service/settings.js';
export type { StopReport } from './service/stop.js';
