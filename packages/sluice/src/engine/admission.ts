/** Admission: what becomes of an offer, and the error that says why one was refused. */

import { failure, type SluiceError } from '../core/errors.js';
import type { HeldBounds } from './capacity.js';

/** What became of an offer. */
export type Admission = 'accepted' | 'full' | 'laneFull' | 'lanesFull' | 'closed' | 'tooLarge';

/** Why an offer was refused. */
export type Refusal = Exclude<Admission, 'accepted'>;

/** What a refusal speaks of. */
export interface RefusalFacts {
  readonly name: string;
  readonly itemBytes: number;
  /** What was held then. */
  readonly held: { readonly items: number; readonly bytes: number };
  readonly bounds: HeldBounds;
  /** Callers that might wait for room. */
  readonly maxWaiting: number;
}

/** The code of each refusal, and what there is to say. */
const refusals: { readonly [R in Refusal]: readonly [code: string, text: (facts: RefusalFacts) => string] } = {
  closed: ['CLOSED', () => ' is closed: it accepts no more items.'],
  tooLarge: [
    'ITEM_TOO_LARGE',
    ({ itemBytes, bounds }) =>
      `: an item of ${itemBytes} bytes can never be held: maxHeldBytes is ${bounds.maxHeldBytes}. Split the item, or raise the bound.`,
  ],
  laneFull: [
    'TENANT_LIMIT',
    () => ': the lane of this item is full; other lanes are not. Offer more slowly, or raise its bounds.',
  ],
  lanesFull: ['TOO_MANY_LANES', () => ': as many lanes are in use as there may be. Offer more slowly, or raise maxLanes.'],
  full: [
    'OVERLOADED',
    ({ held, bounds, maxWaiting }) =>
      ` is full: ${held.items} items (${held.bytes} bytes) are held, maxHeldItems is ${bounds.maxHeldItems}, maxHeldBytes ${bounds.maxHeldBytes}, maxWaiting ${maxWaiting}. Offer more slowly, or raise the bound.`,
  ],
};

/** The error that tells a caller why its item was refused. */
export function refusalOf(refusal: Refusal, facts: RefusalFacts): SluiceError {
  const [code, text] = refusals[refusal];
  return failure(facts.name + text(facts), { code, class: 'rejected' });
}
