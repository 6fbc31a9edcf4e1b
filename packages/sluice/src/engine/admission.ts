/** Admission: what becomes of an offer, and the error that says why one was refused. */

import { failure, type SluiceError } from '../core/errors.js';
import type { HeldBounds } from './capacity.js';

/** What became of an offer. */
export type Admission = 'accepted' | 'full' | 'closed' | 'tooLarge';

/** The bounds that a refusal names. */
export interface AdmissionBounds extends HeldBounds {
  readonly name: string;
  readonly maxWaiting: number;
}

/** The error that tells a caller why its item, of so many bytes, was refused; `held` is what was held then. */
export function refusalOf(
  admission: Exclude<Admission, 'accepted'>,
  itemBytes: number,
  held: { readonly items: number; readonly bytes: number },
  bounds: AdmissionBounds,
): SluiceError {
  const { name, maxHeldItems, maxHeldBytes, maxWaiting } = bounds;
  if (admission === 'closed') return closedError(name);
  if (admission === 'tooLarge') {
    return failure(
      `${name}: an item of ${itemBytes} bytes can never be held: maxHeldBytes is ${maxHeldBytes}. Split the item, or raise the bound.`,
      { code: 'ITEM_TOO_LARGE', class: 'rejected' },
    );
  }
  return failure(
    `${name} is full: ${held.items} items (${held.bytes} bytes) are held, maxHeldItems is ${maxHeldItems}, maxHeldBytes ${maxHeldBytes}, maxWaiting ${maxWaiting}. Offer more slowly, or raise the bound.`,
    { code: 'OVERLOADED', class: 'rejected' },
  );
}

/** The error of whoever comes, or still waits for room, after the close. */
export function closedError(name: string): SluiceError {
  return failure(`${name} is closed: it accepts no more items.`, { code: 'CLOSED', class: 'rejected' });
}
