/** Define: what a `sluice.config.ts` imports. Nothing else is here, so that reading a configuration loads no server. */

import type { ConfigInput } from './config.js';

/**
 * Gives a configuration its types: `export default defineConfig({ … })` in `sluice.config.ts`.
 *
 * @returns what it is given.
 */
export function defineConfig<const C extends ConfigInput>(config: C): C {
  return config;
}
