/** `sluice/dataloader`: a class to put in the place of `dataloader` 2.2.3. */

export { DataLoader } from './dataloader.js';
