import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createBodies } from './bodies.js';

test('each event has an id of its own and as many bytes as were asked for, whether bodies are used again or not', () => {
  const format = fc.constantFrom('json' as const, 'ndjson' as const);
  fc.assert(
    fc.property(format, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 32, max: 300 }), (format, items, bytes) => {
      const bodies = createBodies({ format, items, bytes, run: 'abcdef01' });
      const ids = new Set<string>();
      for (let round = 0; round < 6; round++) {
        const body = bodies.take();
        const text = body.toString();
        const events =
          format === 'ndjson'
            ? text.split('\n')
            : items === 1
              ? [text]
              : JSON.parse(text).map((event: unknown) => JSON.stringify(event));
        expect(events).toHaveLength(items);
        for (const event of events) {
          ids.add(JSON.parse(event).id);
          expect(event.length).toBe(Math.max(bytes, 30) < 39 ? 30 : bytes);
        }
        if (round % 2 === 0) bodies.give(body);
      }
      expect(ids.size).toBe(6 * items);
      expect([...ids][0]).toBe('abcdef01-000000000000');
    }),
  );
});
