/** Outgoing: an event on its way from the log to a sink, parsed only when somebody looks at it. */

import type { LogRecord } from 'sluice/log';
import type { PipelineEvent } from '../config/pipeline-schema.js';

/** An event of a pipeline, with the data that its sink writes. */
export class Outgoing implements PipelineEvent {
  readonly record: LogRecord;
  #data: unknown;
  #parsed = false;
  #changed = false;

  constructor(record: LogRecord) {
    this.record = record;
  }

  get stream(): string {
    return this.record.stream;
  }
  get partition(): number {
    return this.record.partition;
  }
  get offset(): number {
    return this.record.offset;
  }
  get id(): string {
    return this.record.id;
  }
  get tenant(): string {
    return this.record.tenant;
  }
  get time(): string | null {
    return this.record.time;
  }
  get receivedAt(): number {
    return this.record.receivedAt;
  }
  /** The payload, parsed; or what `map` made of it. */
  get data(): unknown {
    if (!this.#parsed) {
      this.#parsed = true;
      this.#data = JSON.parse(this.#payloadText());
    }
    return this.#data;
  }
  set data(data: unknown) {
    this.#parsed = true;
    this.#changed = true;
    this.#data = data;
  }
  /** JSON text of the data: the payload as it was received, unless `map` made something else of it. */
  get json(): string {
    return this.#changed ? (JSON.stringify(this.#data) ?? 'null') : this.#payloadText();
  }

  #payloadText(): string {
    const { payload } = this.record;
    // The log gives buffers: a view of one for each event would cost as much as reading it does.
    if (payload instanceof Buffer) return payload.toString('utf8');
    return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
  }
}
