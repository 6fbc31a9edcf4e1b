/** Bare loader: the least that a loader can do which asks once a key and gives each caller a promise of his own. The floor. */

/** No errors, bounds, events, time-outs, counts: a map, a promise a key, and one that is derived from it for each further caller. */
export function bareLoader(batch) {
  let open = new Map();
  let take;
  const executor = (resolve) => {
    take = resolve;
  };
  const rethrow = (error) => {
    throw error;
  };
  const leave = async () => {
    const items = open;
    open = new Map();
    const values = await batch([...items.keys()]);
    let i = 0;
    for (const { resolve } of items.values()) resolve(values[i++]);
  };
  return {
    load(key) {
      const item = open.get(key);
      if (item !== undefined) return item.promise.then(undefined, rethrow);
      if (open.size === 0) void Promise.resolve().then(() => process.nextTick(leave));
      const promise = new Promise(executor);
      open.set(key, { promise, resolve: take });
      return promise;
    },
    /** One promise for all keys. */
    async loadMany(keys) {
      const places = new Map();
      for (const key of keys) if (places.get(key) === undefined) places.set(key, { key, place: places.size });
      await new Promise((resolve) => process.nextTick(resolve));
      const values = await batch([...places.keys()]);
      return keys.map((key) => values[places.get(key).place]);
    },
  };
}
