/** Seek: puts the group of a pipeline elsewhere, and says where it stands then. */

import type { Log, Position, StartAt, StreamInfo } from 'sluice/log';
import { HttpError } from '../gateway/http-error.js';
import type { Pipeline } from '../pipelines/pipeline.js';

/** Where the group stands in one partition after a seek, and what is stored there. */
export interface Sought extends Position {
  /** First offset still stored. */
  readonly firstOffset: number;
  /** Offset that the next record gets. */
  readonly nextOffset: number;
}

/**
 * Puts the group of a pipeline elsewhere, in every partition or in one.
 *
 * @throws HttpError 400 `OFFSET_PAST_END` when any of these partitions ends before the offset; 503 `SINK_UNAVAILABLE` when the sink cannot note what was
 * parked before. Nothing has moved then.
 */
export async function seekPipeline(
  pipeline: Pipeline,
  log: Log,
  to: StartAt,
  partition: number | undefined,
): Promise<readonly Sought[]> {
  const { consumer, stream } = pipeline;
  if (typeof to === 'object' && 'offset' in to) {
    const those = (await partitionsOf(log, stream)).filter((one) => partition === undefined || one.partition === partition);
    const short = those.find(({ nextOffset }) => to.offset > nextOffset);
    if (short !== undefined) throw pastEnd(to.offset, short, those.length > 1);
  }
  const sought = await whilePaused(pipeline, async () => {
    await closeUp(pipeline);
    return consumer.seek(to, partition);
  });
  const stored = await partitionsOf(log, stream);
  return sought.map((one) => {
    const { firstOffset, nextOffset } = stored.find((info) => info.partition === one.partition)!;
    return { ...one, firstOffset, nextOffset };
  });
}

/** What is parked meanwhile would not be noted. One that somebody else has paused stays so. */
async function whilePaused<T>({ consumer }: Pipeline, act: () => Promise<T>): Promise<T> {
  if (consumer.status().state !== 'running') return act();
  await consumer.pause();
  try {
    return await act();
  } finally {
    await consumer.resume();
  }
}

async function closeUp(pipeline: Pipeline): Promise<void> {
  try {
    await pipeline.closeUp();
  } catch (error) {
    const { code = 'INTERNAL' } = error as { readonly code?: string };
    throw new HttpError(
      503,
      'SINK_UNAVAILABLE',
      `the sink cannot note what was parked, which a seek would bring once more (${code}); nothing was moved; try again when its database answers`,
      { 'retry-after': '5' },
    );
  }
}

async function partitionsOf(log: Log, stream: string): Promise<StreamInfo[]> {
  return (await log.streams()).filter((info) => info.stream === stream);
}

function pastEnd(offset: number, { partition, nextOffset }: StreamInfo, hasOthers: boolean): HttpError {
  const other = hasOthers ? ', or name one partition alone' : '';
  return new HttpError(
    400,
    'OFFSET_PAST_END',
    `partition ${partition} ends before offset ${offset}: its next record gets ${nextOffset}; nothing was moved; give an offset up to that, or end${other}`,
  );
}
