/** Order: the bookings of an account are written in their order, whatever fails in between. Run it with `npm run example order`. */

import { createBatcher, failure } from 'sluice';
import { retry } from 'sluice/layers';
import { testEnv } from 'sluice/testing';

interface Booking {
  readonly account: string;
  readonly amount: number;
}

const env = testEnv({ seed: 1 });
let calls = 0;
const written: Record<string, number[]> = { ann: [], bob: [], cid: [] };
const accounts = createBatcher<Booking>({
  sink: {
    async write(bookings) {
      // Every third call is lost.
      if (++calls % 3 === 0) throw failure('the connection was lost', { class: 'transient' });
      for (const { account, amount } of bookings) written[account]!.push(amount);
    },
  },
  env,
  window: 'tick',
  orderBy: (booking) => booking.account,
  shards: 4,
  layers: [retry({ maxAttempts: 5, baseMs: 10 })],
});

for (let amount = 1; amount <= 6; amount++) {
  for (const account of ['ann', 'bob', 'cid']) accounts.offer({ account, amount });
  if (amount === 3) accounts.reshard(8); // at any time: a key moves once nothing of it is on its way
}
const closed = accounts.close();
await env.clock.advance(1_000);
console.log(`ok ${(await closed).ok}`);
for (const [account, amounts] of Object.entries(written)) console.log(account, amounts.join(' '));
