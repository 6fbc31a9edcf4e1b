/** Bodies: made once, with another id patched in for each event, so that making them costs next to nothing. */

import type { BodyFormat } from './plan.js';

/** Lends bodies. */
export interface Bodies {
  /** A body whose ids no other has. It belongs to the caller until it gives it back. */
  take(): Buffer;
  /** Only what nobody reads any more. */
  give(body: Buffer): void;
}

/** Digits of the number of an event. */
const digits = 12;

/**
 * Bodies of `items` events of `bytes` bytes each, or as many as an id needs. The ids are `RUN-000000000000` and so on.
 *
 * @param run part of each id, in ASCII.
 */
export function createBodies(options: {
  readonly format: BodyFormat;
  readonly items: number;
  readonly bytes: number;
  readonly run: string;
}): Bodies {
  const { items, format } = options;
  const { template, firstDigit, stride } = templateOf(options);
  const spare: Buffer[] = [];
  let number = 0;
  return {
    take() {
      const body = spare.pop() ?? Buffer.from(template);
      for (let i = 0, at = firstDigit; i < items; i++, at += stride) writeDigits(body, at, number++);
      return body;
    },
    give(body) {
      // As many as are ever under way at once, and no more: each is one that was taken.
      spare.push(body);
    },
  };

  function templateOf({ bytes, run }: { readonly bytes: number; readonly run: string }) {
    const head = `{"id":"${run}-`;
    const tail = (pad: number): string => (pad < 0 ? '"}' : `","pad":"${'x'.repeat(pad)}"}`);
    const bare = head.length + digits + tail(0).length;
    const item = `${head}${'0'.repeat(digits)}${tail(bytes - bare)}`;
    const isArray = format === 'json' && items > 1;
    const list = new Array<string>(items).fill(item).join(isArray ? ',' : '\n');
    const text = isArray ? `[${list}]` : list;
    return { template: Buffer.from(text), firstDigit: (isArray ? 1 : 0) + head.length, stride: item.length + 1 };
  }
}

function writeDigits(body: Buffer, at: number, number: number): void {
  for (let place = at + digits - 1; place >= at; place--) {
    const rest = Math.floor(number / 10);
    body[place] = 0x30 + (number - rest * 10);
    number = rest;
  }
}
