/** Exchange: one request and its answer, on a connection of the pool. */

import type { Dispatcher } from 'undici';

/** Told once what became of a request. */
export interface ExchangeEnd {
  answered(exchange: Exchange): void;
  lost(exchange: Exchange, error: Error): void;
}

/** A class, since there are tens of thousands a second: one object each, and no closures. */
export class Exchange implements Dispatcher.DispatchHandler {
  status = 0;
  text = '';
  /** When it was put on a connection. */
  sentAt = 0;
  readonly #end: ExchangeEnd;

  constructor(end: ExchangeEnd) {
    this.#end = end;
  }

  onRequestStart(): void {
    this.sentAt = performance.now();
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.status = status;
  }

  /** The answers of a gateway are ASCII, but for what is in a message. */
  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.text += chunk.toString('utf8');
  }

  onResponseEnd(): void {
    this.#end.answered(this);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#end.lost(this, error);
  }
}
