/** A watch sees single items, where the sink sees what was combined of several. */

import type { Sink } from 'sluice';
import type { Sent } from './batcher-settings.js';

/** The watched sink for combined items: `watch` is given the items that they were made of, `inner` the combined ones. */
export function combinedSink(
  inner: Sink<Sent, number>,
  watch: (sink: Sink<Sent, number>) => Sink<Sent, number>,
): Sink<Sent, number> {
  const combinedOf = new WeakMap<readonly Sent[], readonly Sent[]>();
  const watched = watch({
    ...inner,
    async write(singles, context) {
      const items = combinedOf.get(singles)!;
      const results = await inner.write(items, context);
      if (results === undefined || results.length !== items.length) return results;
      return singles.map((single) => results[items.findIndex((item) => membersOf(item).includes(single))]!);
    },
  });
  return {
    ...watched,
    async write(items, context) {
      const singles = items.flatMap(membersOf).sort((a, b) => a.n - b.n);
      combinedOf.set(singles, items);
      const results = await watched.write(singles, context);
      if (results === undefined || results.length !== singles.length) return results;
      return items.map((item) => results[singles.indexOf(membersOf(item)[0]!)]!);
    },
  };
}

function membersOf(item: Sent): readonly Sent[] {
  return item.of ?? [item];
}
