/** Admission: what becomes of an offer, and the error that says why one was refused. */

import { failure, type SluiceError } from '../core/errors.js';
import type { HeldBounds } from './capacity.js';

/** What became of an offer. */
export type Admission = 'accepted' | 'full' | 'laneFull' | 'lanesFull' | 'closed' | 'tooLarge';

/** Why an offer was refused. */
export type Refusal = Exclude<Admission, 'accepted'>;

/** The bounds that a refusal names. */
export interface AdmissionBounds extends HeldBounds {
  readonly name: string;
  readonly maxWaiting: number;
}

/** The error that tells a caller why its item, of so many bytes, was refused; `held` is what was held then. */
export function refusalOf(
  admission: Refusal,
  itemBytes: number,
  held: { readonly items: number; readonly bytes: number },
  bounds: AdmissionBounds,
): SluiceError {
  const { name, maxHeldItems, maxHeldBytes, maxWaiting } = bounds;
  const refused = (message: string, code: string) => failure(`${name}${message}`, { code, class: 'rejected' });
  switch (admission) {
    case 'closed':
      return closedError(name);
    case 'tooLarge':
      return refused(
        `: an item of ${itemBytes} bytes can never be held: maxHeldBytes is ${maxHeldBytes}. Split the item, or raise the bound.`,
        'ITEM_TOO_LARGE',
      );
    case 'laneFull':
      return refused(
        ': the lane of this item is full; other lanes are not. Offer more slowly, or raise its bounds.',
        'TENANT_LIMIT',
      );
    case 'lanesFull':
      return refused(': as many lanes are in use as there may be. Offer more slowly, or raise maxLanes.', 'TOO_MANY_LANES');
    case 'full':
      return refused(
        ` is full: ${held.items} items (${held.bytes} bytes) are held, maxHeldItems is ${maxHeldItems}, maxHeldBytes ${maxHeldBytes}, maxWaiting ${maxWaiting}. Offer more slowly, or raise the bound.`,
        'OVERLOADED',
      );
  }
}

/** The error of whoever comes, or still waits for room, after the close. */
export function closedError(name: string): SluiceError {
  return failure(`${name} is closed: it accepts no more items.`, { code: 'CLOSED', class: 'rejected' });
}

/** The error of an item that an overflow policy dropped. */
export function droppedError(name: string, reason: 'dropOldest' | 'dropNewest'): SluiceError {
  const which = reason === 'dropOldest' ? 'the oldest items make room for new ones' : 'new items are dropped';
  return failure(`${name} is full, and ${which}: this one was never sent.`, { code: 'DROPPED', class: 'rejected' });
}
