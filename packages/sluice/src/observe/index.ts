/** `sluice/observe`: what happens, for those who want to know: diagnostics channels, OpenTelemetry, observers of your own. */

export type { Observer, OutcomeCounts, SluiceEvent } from '../core/event.js';
export { type ChannelOptions, channelObserver } from './channels.js';
export { combineObservers } from './combine.js';
export { type OpenTelemetryOptions, openTelemetry, type Tracing } from './opentelemetry.js';
export type { TracingApi, TracingSpan, TracingTracer } from './tracing-api.js';
