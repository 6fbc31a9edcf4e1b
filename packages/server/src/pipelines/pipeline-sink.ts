/** Pipeline sink: what every sink of a pipeline can do, whatever it writes to. */

import type { Sink } from 'sluice';
import type { Outgoing } from './outgoing.js';

/** Where the events of a pipeline end. */
export interface PipelineSink extends Sink<Outgoing, unknown> {
  /** Connects, and makes what is missing, such as a table: so that a wrong setting is known at the start. */
  prepare(): Promise<void>;
  /** Notes for good what was parked, so that a seek does not bring it once more; where the sink keeps such a book. */
  closeUp?(): Promise<void>;
  close(): Promise<void>;
}
