/** What a push with `--ack committed` says of events that were parked: the ids that `sluice dlq show` takes. */

import { join } from 'node:path';
import { expect, it } from 'vitest';
import { useRunning } from './support/running.js';

const world = useRunning();
const handler = (bad: string) => `export default (events) => events.map(({ id }) => ${bad} ? { verdict: 'dead' } : 'ack');`;
const pipeline = (file: string, group: string) =>
  `{ stream: events, group: ${group}, sink: { type: module, handler: ./${file} }, window: { maxDelayMs: 5 } }`;

it('a parked event is named by the dead letter that dlq show takes, in the receipt too', async () => {
  world.write('odd.mjs', handler('Number(id) % 2 === 1'));
  await world.start(`pipelines: { p: ${pipeline('odd.mjs', 'first')} }`);
  world.write('events.ndjson', '{"id":"0"}\n{"id":"1"}\n');
  const { code, err } = await world.gateway('push', 'events', join(world.folder, 'events.ndjson'), '--ack', 'committed');
  expect([code, err.split('\n')]).toEqual([
    1,
    [
      'line 2: DEAD_LETTERED: the event is in the log, but the pipeline could not write it: it is parked as the dead letter first/events/0/1',
      'sluice push: `sluice dlq show first/events/0/1` says why it was parked.',
      '',
    ],
  ]);
  const shown = await world.control('dlq', 'show', 'first/events/0/1');
  expect([shown.code, shown.out]).toEqual([0, expect.stringMatching(/^event +1$/m)]);
  const again = await fetch(`${world.service.url}/v1/streams/events/events?ack=committed`, {
    method: 'POST',
    body: '{"id":"1"}',
    headers: { 'content-type': 'application/json' },
  });
  expect(await again.json()).toMatchObject({
    errors: [{ message: expect.stringMatching(/its original is parked/), letters: ['first/events/0/1'] }],
  });
});

it('of several groups that read a stream, those that have parked the event are named', async () => {
  world.write('none.mjs', handler('false'));
  world.write('odd.mjs', handler('Number(id) % 2 === 1'));
  world.write('all.mjs', handler('true'));
  const pipelines = ['none', 'odd', 'all'].map((name) => `${name}: ${pipeline(`${name}.mjs`, name)}`);
  await world.start(`pipelines: { ${pipelines.join(', ')} }`);
  world.write('events.ndjson', '{"id":"0"}\n{"id":"1"}\n');
  const file = join(world.folder, 'events.ndjson');
  const { out, err } = await world.gateway('push', 'events', file, '--ack', 'committed', '--json');
  expect(JSON.parse(out).errors).toMatchObject([
    { line: 1, letters: ['all/events/0/0'] },
    { line: 2, letters: ['all/events/0/1', 'odd/events/0/1'] },
  ]);
  expect(err).toContain('it is parked as the dead letters all/events/0/1 and odd/events/0/1\n');
});
