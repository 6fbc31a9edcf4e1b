/** Seeded randomness, as tests import it. */

export { seededRandom } from '../env/seeded-random.js';
