/** `sluice/simulate`: the production engine on a virtual clock, and the watch that holds it to its promises. */

export { SteppedClock } from '../env/stepped-clock.js';
export { type Happenings, VirtualClock, type VirtualClockOptions } from '../env/virtual.js';
export {
  type ArrivalStream,
  type Arrivals,
  type BurstOptions,
  bursts,
  type OnOffOptions,
  onOff,
  poisson,
  type RateOptions,
  steady,
  trace,
} from './arrivals.js';
export { Histogram, type Spread } from './histogram.js';
export { broken, type Invariant, type Promised, type Violation } from './invariant.js';
export type { SimulatedItem } from './item.js';
export { type KeyDraw, uniformKeys, zipfKeys } from './keys.js';
export type { Recorded } from './recorder.js';
export type { SimulatedCall, SimulatedDispatch, SimulatedSettlement, SimulationReport, TallySample } from './report.js';
export { type SimulatedBatcher, type SimulationOptions, simulate } from './simulate.js';
export {
  type LoaderSimulationOptions,
  type LoaderSimulationReport,
  type SimulatedCallers,
  simulateLoader,
} from './simulate-loader.js';
export { type SinkModel, sinkOf } from './sink-model.js';
export type { WatchedStats } from './step-rules.js';
export { type Watch, type WatchOptions, watchBatcher } from './watch.js';
export {
  type LoaderWatch,
  type LoaderWatchOptions,
  type ToldCaller,
  type ValueOrigin,
  type WatchedLoaderStats,
  watchLoader,
} from './watch-loader.js';
