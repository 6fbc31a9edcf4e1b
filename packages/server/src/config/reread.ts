/** Reread: the configuration file of a running service, as it is now. */

import { type Loaded, loadConfig } from './load.js';
import { override } from './override.js';
import { ConfigError } from './problem.js';

/**
 * Reads the file again that a service was started with; what the command line said then still goes before it.
 *
 * @throws ConfigError with everything that is wrong, or that there is no file.
 */
export async function reread({ file, folder, overrides = {} }: Loaded): Promise<Loaded> {
  if (file === undefined) throw new ConfigError('', [{ message: 'the service was started without a configuration file' }]);
  return override(await loadConfig(file), overrides, folder);
}
