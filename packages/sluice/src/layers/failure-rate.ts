/** FailureRate: the share of failed calls in a sliding window, in constant space. */

/** Counts calls and failures of the last `windowMs`, to a tenth of it. */
export interface FailureRate {
  add(now: number, failed: boolean): void;
  /** Calls in the window, and how many of them failed. */
  at(now: number): { readonly calls: number; readonly failed: number };
}

const slices = 10;

/** A window of ten slices: what is older than `windowMs` has left it, what is younger than nine tenths of that is in it. */
export function failureRate(windowMs: number): FailureRate {
  const sliceMs = windowMs / slices;
  const ring = Array.from({ length: slices }, () => ({ slice: -1, calls: 0, failed: 0 }));
  const sliceOf = (now: number) => Math.floor(now / sliceMs);
  return {
    add(now, failed) {
      const slice = sliceOf(now);
      const place = ring[slice % slices]!;
      if (place.slice !== slice) Object.assign(place, { slice, calls: 0, failed: 0 });
      place.calls++;
      if (failed) place.failed++;
    },
    at(now) {
      const oldest = sliceOf(now) - slices;
      const young = ring.filter(({ slice }) => slice > oldest);
      return {
        calls: young.reduce((sum, { calls }) => sum + calls, 0),
        failed: young.reduce((sum, { failed }) => sum + failed, 0),
      };
    },
  };
}
