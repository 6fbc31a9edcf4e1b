/** Log metrics: what lies on the disk, what is in memory alone, and the dead letters. */

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { SluiceEvent } from 'sluice';
import type { Log } from 'sluice/log';

/** What the metrics of a log are read from. */
export interface LogSources {
  readonly log: Log;
  /** The bounds of the configuration. */
  readonly bounds: { readonly maxHeldItems: number; readonly maxLetters: number };
}

/** Registers them. */
export function logMetrics(registry: Registry): { observe(event: SluiceEvent): void; read(sources: LogSources): Promise<void> } {
  const registers = [registry];
  const gauge = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Gauge({ name: `sluice_${name}`, help, labelNames, registers });
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Counter({ name: `sluice_${name}`, help, labelNames, registers });
  const memoryOnly = gauge('log_memory_only_items', 'Events that exist in memory alone: a crash would lose them.');
  const heldUsed = gauge('log_held_used_ratio', 'Share of log.maxHeldItems in use.');
  const fileBytes = gauge(
    'log_file_bytes',
    'Bytes of the files of the log. Space that was freed inside is used again, not given back.',
  );
  const diskFree = gauge('log_disk_free_bytes', 'Free bytes of the disk of the log.');
  const streamItems = gauge('stream_items', 'Records of a stream that are stored.', ['stream']);
  const streamBytes = gauge('stream_bytes', 'Their bytes.', ['stream']);
  const letters = gauge('dead_letters', 'Dead letters, parked and redriven.');
  const letterBytes = gauge('dead_letters_bytes', 'Their bytes.');
  const lettersUsed = gauge(
    'dead_letters_used_ratio',
    'Share of log.deadLetters.maxItems in use. At 1 a pipeline that would park one more stops.',
  );
  const flush = new Histogram({
    name: 'sluice_log_flush_seconds',
    help: 'How long it took to put a group of appends on disk (commit and fdatasync): the least that ack=durable waits.',
    // From a disk with a cache of its own to one that hangs; at log.flushTimeoutMs (30 s) the log stops.
    buckets: [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30],
    registers,
  });
  const expired = counter('expired_items_total', 'Records that retention removed before a group had settled them.', [
    'stream',
    'group',
  ]);
  const lettersExpired = counter('dead_letters_expired_total', 'Dead letters that were removed because of their age.');
  return {
    observe(event) {
      if (event.type === 'flushed') flush.observe(event.durationMs / 1_000);
      else if (event.type === 'expired') expired.inc({ stream: event.stream, group: event.group }, event.items);
      else if (event.type === 'lettersExpired') lettersExpired.inc(event.items);
    },
    async read({ log, bounds }) {
      memoryOnly.set(log.memoryOnly);
      heldUsed.set(log.memoryOnly / bounds.maxHeldItems);
      const { disk } = log.facets;
      if (disk !== undefined) {
        fileBytes.set(disk.fileBytes());
        diskFree.set(disk.freeBytes());
      }
      streamItems.reset();
      streamBytes.reset();
      for (const { stream, firstOffset, nextOffset, bytes } of await log.streams()) {
        streamItems.inc({ stream }, nextOffset - firstOffset);
        streamBytes.inc({ stream }, bytes);
      }
      letters.set(log.letters.items);
      letterBytes.set(log.letters.bytes);
      lettersUsed.set(log.letters.items / bounds.maxLetters);
    },
  };
}
