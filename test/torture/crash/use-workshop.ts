/** A workshop for the tests of one `describe`. */

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import { canCutPower, openWorkshop, type Workshop } from './build.js';

/** A missing compiler fails the tests where tools are required, and skips them elsewhere. */
export const skipPowerCuts = !canCutPower() && process.env.SLUICE_REQUIRE_TOOLS !== '1';

/** A workshop, and what was built in it. Only inside tests and hooks. */
export interface UsedWorkshop<B> {
  readonly workshop: Workshop;
  readonly built: B;
}

/** Opens a workshop and builds in it before the tests, and removes it after them. */
export function useWorkshop<B>(build: (workshop: Workshop) => Promise<B>): UsedWorkshop<B> {
  let workshop: Workshop | undefined;
  let built: B | undefined;
  beforeAll(async () => {
    workshop = openWorkshop(fileURLToPath(new URL('../../../', import.meta.url)));
    built = await build(workshop);
  });
  afterAll(() => workshop?.remove());
  return {
    get workshop() {
      return workshop!;
    },
    get built() {
      return built!;
    },
  };
}
