import { failure } from 'sluice';
import { createConsumer, createMemoryLog } from 'sluice/log';
import { expect, it } from 'vitest';
import { withTrail } from './log-trail.js';

const event = (id: string, more: object = {}) => ({
  ...{ id, tenant: '_', time: null, receivedAt: 1, payload: Buffer.from(id) },
  ...more,
});

it('R-198: names an event by the same id where it comes in and where it is delivered or parked, and nothing that its sender wrote', async () => {
  const lines: [object, string][] = [];
  const logger = { isLevelEnabled: () => true, debug: (details: object, message: string) => void lines.push([details, message]) };
  const log = withTrail(createMemoryLog(), logger);
  await log.append('s', [event('good', { trace: '00-1-2-01' }), event('bad'), event('good')]);
  const consumer = await createConsumer({
    ...{ log, stream: 's', group: 'g' },
    sink: { write: async (records) => records.map(({ id }) => (id === 'bad' ? failure('no', { code: 'REFUSED' }) : undefined)) },
  });
  await consumer.drain({ deadlineMs: 5_000 });
  expect(log.offer('s', [event('later')])).toBe('accepted');
  await log.close();
  expect(lines).toHaveLength(6);
  expect(lines).toEqual(
    expect.arrayContaining([
      [{ event: 's/0/0', trace: '00-1-2-01' }, 'taken in'],
      [{ event: 's/0/1', trace: undefined }, 'taken in'],
      [{ event: 's/0/0', trace: undefined }, 'a duplicate'],
      [{ event: 's/0/0', group: 'g' }, 'delivered'],
      [{ event: 's/0/1', group: 'g', code: 'REFUSED' }, 'parked'],
      [{ stream: 's', items: 1 }, 'offered: accepted'],
    ]),
  );
  expect(JSON.stringify(lines)).not.toMatch(/good|bad|later/);
});

it('costs nothing where nobody would see it', () => {
  const log = createMemoryLog();
  expect(withTrail(log, { isLevelEnabled: () => false, debug: () => expect.unreachable() })).toBe(log);
});
