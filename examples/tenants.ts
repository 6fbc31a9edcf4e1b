/** Tenants: one floods, and the others do not wait for it. Run it with `npm run example tenants`. */

import { createBatcher } from 'sluice';
import { testEnv } from 'sluice/testing';

interface Entry {
  readonly tenant: string;
  readonly n: number;
}

const env = testEnv({ seed: 1 });
const audit = createBatcher<Entry>({
  sink: {
    atomic: true,
    async write(entries) {
      console.log(`${env.clock.now()} ms:`, entries.map(({ tenant, n }) => `${tenant}${n}`).join(' '));
      await new Promise<void>((resolve) => void env.clock.after(10, resolve));
    },
  },
  env,
  window: 'whileBusy',
  maxItems: 2,
  maxInFlight: 1,
  laneBy: (entry) => entry.tenant,
  laneWeight: (tenant) => (tenant === 'paying-' ? 2 : 1),
  maxHeldItemsPerLane: 6, // one more of this tenant is refused, of others not
  overflow: 'reject',
});

const answers: string[] = [];
for (let n = 1; n <= 8; n++) answers.push(audit.offer({ tenant: 'noisy-', n }));
console.log('noisy:', answers.join(' '));
audit.offer({ tenant: 'quiet-', n: 1 });
for (let n = 1; n <= 4; n++) audit.offer({ tenant: 'paying-', n });

const closed = audit.close();
await env.clock.advance(100);
console.log(`ok ${(await closed).ok}, rejected ${audit.stats().rejected}`);
