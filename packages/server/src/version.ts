/** Version: that of this package. */

import { readFileSync } from 'node:fs';

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { readonly version: string };

/** The version of `@sluice/server`. */
export const version: string = manifest.version;
