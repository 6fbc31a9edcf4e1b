/** Damage: records that cannot be read any more. */

import { SluiceError } from '../core/errors.js';
import type { OffsetRange } from './position.js';

/** `LOG_CORRUPT`: a read met damaged records. What lies before and behind `range` can be read; {@link Log.skip} gives the range up. */
export class DamagedRecords extends SluiceError {
  readonly stream: string;
  readonly partition: number;
  /** All that is lost with the damage. */
  readonly range: OffsetRange;

  constructor(stream: string, partition: number, range: OffsetRange, cause?: unknown) {
    super(
      `stream ${JSON.stringify(stream)}, partition ${partition}: the records from offset ${range.first} to ${range.last} are damaged; what lies before and behind them can be read. "sluice log verify" lists all damage. Restore the log from a backup, or give them up with skip.`,
      { code: 'LOG_CORRUPT', class: 'permanent', cause },
    );
    this.stream = stream;
    this.partition = partition;
    this.range = range;
  }
}
