/** Testing without sleeping: time that you move, a backend that you play. Run it with `npm run example testing`. */

import assert from 'node:assert/strict';
import { createBatcher } from 'sluice';
import { retry } from 'sluice/layers';
import { scriptedSink, testEnv } from 'sluice/testing';

const env = testEnv({ seed: 1 });
const sink = scriptedSink<string>();
const batcher = createBatcher<string>({
  sink,
  env,
  window: { maxDelayMs: 80 },
  layers: [retry({ maxAttempts: 2, baseMs: 1_000 })],
});

const done = batcher.push('a');
await env.clock.advance(79);
assert.equal(sink.calls.length, 0); // not due yet
await env.clock.advance(1);
assert.deepEqual(sink.calls[0]!.items, ['a']);

sink.calls[0]!.fail(new Error('the connection was lost')); // a plain throw is transient
await env.clock.advance(2_000); // the pause is drawn from [1 s, 2 s)
assert.equal(sink.calls.length, 2);

sink.calls[1]!.reply();
await done;
await batcher.close();
console.log(`${env.clock.now()} ms in no time: ${sink.calls.length} calls`);
