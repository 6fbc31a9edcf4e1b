/** Throttling: at most one dispatch every 100 ms, on a clock that the example moves. Run it with `npm run example throttling`. */

import { QueryBatcher } from 'sluice';
import { testEnv } from 'sluice/testing';

const env = testEnv({ seed: 1 });
const startedAt = env.clock.now();
const elapsedMs = () => env.clock.now() - startedAt;

const users = new QueryBatcher(
  async (names: readonly string[]) => {
    console.log(`${elapsedMs()} ms: one query for`, names);
    return names.map((name) => name.toUpperCase());
  },
  100,
  { env },
);

const answers: Promise<string>[] = [];
for (const [waitMs, name] of [
  [10, 'ann'], // nothing is under way: at once, alone
  [10, 'bob'], // held
  [10, 'cid'], // held
  [220, 'dan'], // idle since 210: at once
] as const) {
  await env.clock.advance(waitMs);
  answers.push(users.getValue(name));
}

console.log(await Promise.all(answers));
await users.close();
