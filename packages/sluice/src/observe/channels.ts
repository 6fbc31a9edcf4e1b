/** channelObserver: events on the platform's diagnostics channels, for whoever subscribes in the process. */

import type { Observer } from '../core/event.js';

/** Options of {@link channelObserver}. */
export interface ChannelOptions {
  /** Channels are named `<prefix>:<type of the event>`; `<prefix>:*` gets all. Default `'sluice'`. */
  readonly prefix?: string;
}

/**
 * An observer that publishes each event on the channel of its type (`sluice:settled`) and on `sluice:*`, by `node:diagnostics_channel`.
 * A channel that nobody subscribes to costs a look. Where the platform has no such channels, it does nothing.
 *
 * @example
 * import { subscribe } from 'node:diagnostics_channel';
 * subscribe('sluice:settled', (event) => histogram.record(event.durationMs));
 * const env = systemEnv({ observe: channelObserver() });
 */
export function channelObserver(options: ChannelOptions = {}): Observer {
  const { prefix = 'sluice' } = options;
  const module = diagnosticsChannel();
  if (module === undefined) return () => {};
  const all = module.channel(`${prefix}:*`);
  const channels = new Map<string, Channel>();
  return (event) => {
    let channel = channels.get(event.type);
    if (channel === undefined) {
      channel = module.channel(`${prefix}:${event.type}`);
      channels.set(event.type, channel);
    }
    if (channel.hasSubscribers) channel.publish(event);
    if (all.hasSubscribers) all.publish(event);
  };
}

interface Channel {
  readonly hasSubscribers: boolean;
  publish(message: unknown): void;
}

interface DiagnosticsChannel {
  channel(name: string): Channel;
}

interface Platform {
  readonly process?: { getBuiltinModule?(name: string): unknown };
}

/** Looked up at run time, so that this file loads where there is no Node. */
function diagnosticsChannel(): DiagnosticsChannel | undefined {
  const platform = globalThis as Platform;
  return platform.process?.getBuiltinModule?.('node:diagnostics_channel') as DiagnosticsChannel | undefined;
}
