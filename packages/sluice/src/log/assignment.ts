/** Assignment: which consumer of a group reads which partition. Pure. */

/**
 * Spreads partitions over consumers evenly: nobody has two more than another, and no more of them move than must. With more consumers than
 * partitions, some get none.
 *
 * @param owners who has each partition now; `undefined` where nobody has. The result has the same length.
 * @param consumers in the order in which they came.
 */
export function assign<C>(owners: readonly (C | undefined)[], consumers: readonly C[]): readonly (C | undefined)[] {
  if (consumers.length === 0) return owners.map(() => undefined);
  const had = new Map<C, number>(consumers.map((consumer) => [consumer, 0]));
  for (const owner of owners) {
    const count = owner === undefined ? undefined : had.get(owner);
    if (count !== undefined) had.set(owner!, count + 1);
  }
  const least = Math.floor(owners.length / consumers.length);
  let withOneMore = owners.length % consumers.length;
  const left = new Map<C, number>();
  // Who has most keeps most. Sorting is stable: among equals, who came first.
  for (const consumer of [...consumers].sort((a, b) => had.get(b)! - had.get(a)!)) {
    left.set(consumer, least + (withOneMore-- > 0 ? 1 : 0));
  }
  const assigned = owners.map((owner) => {
    const room = owner === undefined ? undefined : left.get(owner);
    if (room === undefined || room === 0) return undefined;
    left.set(owner!, room - 1);
    return owner;
  });
  // Those in need take turns, so that neighbouring partitions, which often fill alike, go to different consumers.
  let needy: C[] = [];
  return assigned.map((owner) => {
    if (owner !== undefined) return owner;
    if (needy.length === 0) needy = consumers.filter((consumer) => left.get(consumer)! > 0);
    const next = needy.shift()!;
    left.set(next, left.get(next)! - 1);
    return next;
  });
}
