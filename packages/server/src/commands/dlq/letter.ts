/** Letter: a dead letter as the control plane tells of it, with its payload as text. */

import type { DeadLetter, LogRecord } from 'sluice/log';

/** A dead letter whose payload is text. */
export interface LetterAnswer extends Omit<DeadLetter, 'record'> {
  readonly record: Omit<LogRecord, 'payload'> & { readonly payload: string };
}

/** The letter as JSON prints it: with the payload only where asked for, else with how long it is. */
export function letterJson({ record, ...letter }: LetterAnswer, withPayload: boolean): object {
  const { payload, ...origin } = record;
  return { ...letter, record: { ...origin, ...(withPayload ? { payload } : { payloadBytes: Buffer.byteLength(payload) }) } };
}

/** A time as people and other programs read it. */
export function timeText(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
