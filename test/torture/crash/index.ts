/** The crash proofs: kills and power cuts on a real store. */

export { openWorkshop } from './build.js';
export { crashAgain } from './lives.js';
