/** A sink that refuses an item and is down at first: what is retried, what is parked, and how it comes back. Run it with `npm run example resilience`. */

import { createBatcher, failure } from 'sluice';
import { bisect, breaker, deadLetter, memoryDeadLetterStore, redrive, retry } from 'sluice/layers';

let calls = 0;
let refused = 'bad';
const sink = {
  async write(items: readonly string[]) {
    if (++calls === 1) throw failure('the sink is down', { class: 'transient', code: 'DOWN' });
    if (items.includes(refused)) throw failure(`the sink refuses "${refused}"`, { code: 'REFUSED' });
    console.log('wrote', items);
  },
};

const letters = memoryDeadLetterStore<string>();
const batcher = createBatcher<string>({
  sink,
  maxItems: 3,
  layers: [deadLetter({ store: letters }), retry({ baseMs: 10 }), bisect(), breaker()],
});

for (const item of ['a', 'bad']) batcher.offer(item);
await batcher.push('c');
for (const { code, pattern, letters: count } of letters.groups()) console.log(`${count} dead: ${code}, ${pattern}`);

refused = 'nothing any more';
console.log(await redrive(letters, { push: (item) => batcher.push(item) }));
await batcher.close();
