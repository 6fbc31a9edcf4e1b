/** The item of a simulation. */

/** What simulated callers send. */
export interface SimulatedItem {
  /** Its place in the order of all arrivals, from 0. */
  readonly n: number;
  /** The stream that it came from; fit for `laneBy`. */
  readonly stream: string;
  readonly bytes: number;
  /** When it arrived, in milliseconds from the start. */
  readonly atMs: number;
}
