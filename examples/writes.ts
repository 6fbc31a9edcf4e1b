/** Writes: seven items, batches of three, one bad item taken out. Run it with `npm run example writes`. */

import { createBatcher, failure } from 'sluice';
import { bisect } from 'sluice/layers';

const sink = {
  async write(items: readonly string[]) {
    if (items.includes('bad')) throw failure('the sink refuses "bad"', { class: 'permanent' });
    console.log('wrote', items);
  },
};

const letters = createBatcher<string>({ sink, maxItems: 3, maxInFlight: 1, layers: [bisect()] });
const refused = letters.push('bad').catch((error) => console.log('refused:', error.message));
for (const letter of ['a', 'b', 'c', 'd', 'e', 'f']) letters.offer(letter);

const report = await letters.close();
await refused;
console.log(`ok ${report.ok}, failed ${report.failed}, dropped ${report.dropped}`);
