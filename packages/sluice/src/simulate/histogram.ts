/** Histogram: percentiles of a million latencies in little memory, to three significant digits. */

/** How a set of times is spread, in milliseconds. Percentiles are by nearest rank, to 0.1 % (or 1 µs); mean, least and most are exact. */
export interface Spread {
  readonly count: number;
  readonly mean: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Counts times in buckets that grow with the time. A class: it stands on the hot path of a simulation. */
export class Histogram {
  /** 2,048 buckets of 1 µs, then 1,024 for every doubling: the layout of HdrHistogram (Gil Tene, public domain). */
  readonly #buckets: number[] = [];
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;

  /** @param ms 0 or more. */
  add(ms: number): void {
    this.#count++;
    this.#sum += ms;
    if (ms < this.#min) this.#min = ms;
    if (ms > this.#max) this.#max = ms;
    const at = bucketOf(Math.round(ms * 1000));
    // Grown without holes: a sparse array would be slow from then on.
    while (this.#buckets.length <= at) this.#buckets.push(0);
    this.#buckets[at]!++;
  }

  /** The least time that `share` (0 to 1) of all times do not exceed; 0 when there are none. */
  percentile(share: number): number {
    const rank = Math.max(1, Math.ceil(this.#count * share - 1e-9));
    let seen = 0;
    for (let at = 0; at < this.#buckets.length; at++) {
      seen += this.#buckets[at]!;
      if (seen >= rank) return Math.min(Math.max(highestOf(at) / 1000, this.#min), this.#max);
    }
    return this.#max;
  }

  spread(): Spread {
    return {
      count: this.#count,
      mean: this.#count === 0 ? 0 : this.#sum / this.#count,
      min: this.#count === 0 ? 0 : this.#min,
      p50: this.percentile(0.5),
      p90: this.percentile(0.9),
      p99: this.percentile(0.99),
      p999: this.percentile(0.999),
      max: this.#max,
    };
  }
}

function bucketOf(microseconds: number): number {
  if (microseconds < 2048) return microseconds;
  const shift = Math.floor(Math.log2(microseconds)) - 10;
  return shift * 1024 + Math.floor(microseconds / 2 ** shift);
}

/** The highest time of a bucket, in microseconds. */
function highestOf(bucket: number): number {
  if (bucket < 2048) return bucket;
  const shift = (bucket >> 10) - 1;
  return ((bucket & 1023) + 1024 + 1) * 2 ** shift - 1;
}
