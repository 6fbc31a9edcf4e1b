/** Latency by batch size: what a call costs whatever its size, so that a large batch does not look like a slow sink. */

/** Learns how latency grows with the items of a call, and takes that out of it. */
export interface BatchLatency {
  /** Takes in the calls of one window: items and latency in milliseconds of each. */
  learn(calls: readonly { readonly items: number; readonly latencyMs: number }[]): void;
  /** The latency that a call with one item would have had. */
  ofOneItem(items: number, latencyMs: number): number;
}

/** So much of what was known is kept at each window: about twenty windows count. */
const memory = 0.95;

/**
 * Fits latency = a · (1 + r · items) by least squares and keeps r, the cost of an item relative to that of a call: it stays the same when
 * load makes everything slower. Deviations are taken from the mean of each window, not of all: over longer times batches grow *because*
 * the sink is slow, which would make every queue look like the cost of its items.
 */
export function batchLatency(): BatchLatency {
  let sxx = 0;
  let sxy = 0;
  let meanItems = 0;
  let meanMs = 0;
  let weight = 0;

  const itemCost = (): number => {
    if (weight === 0 || sxx < 1e-9) return 0;
    const perItem = Math.max(0, sxy / sxx);
    const perCall = meanMs - perItem * meanItems;
    // An item never costs more than ten calls: noise can make the fitted call free, and the ratio boundless.
    return perItem === 0 ? 0 : Math.min(10, perItem / Math.max(perCall, perItem / 10));
  };

  return {
    learn(calls) {
      if (calls.length === 0) return;
      const windowItems = mean(calls.map(({ items }) => items));
      const windowMs = mean(calls.map(({ latencyMs }) => latencyMs));
      sxx *= memory;
      sxy *= memory;
      for (const { items, latencyMs } of calls) {
        sxx += (items - windowItems) ** 2;
        sxy += (items - windowItems) * (latencyMs - windowMs);
      }
      weight = weight * memory + 1;
      meanItems += (windowItems - meanItems) / weight;
      meanMs += (windowMs - meanMs) / weight;
    },
    ofOneItem(items, latencyMs) {
      const r = itemCost();
      return (latencyMs * (1 + r)) / (1 + r * items);
    },
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
