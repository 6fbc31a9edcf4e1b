/** Events of the crash proofs: everything about one follows from its id, so that whoever reads it back can tell whether it is whole. */

import { createHash } from 'node:crypto';

/** The id of event `n` of a life. */
export function idOf(life: number, n: number): string {
  return `${life}.${n}`;
}

/** Life and number of an id made by {@link idOf}. */
export function partsOf(id: string): { readonly life: number; readonly n: number } {
  const [life, n] = id.split('.');
  return { life: Number(life), n: Number(n) };
}

/** The bytes that an id stands for: of many lengths, none at all among them, and now and then larger than a chunk. */
export function payloadOf(id: string): Buffer {
  const digest = digestOf(id);
  const kind = digest.readUInt16BE(0);
  if (kind % 50 === 0) return Buffer.alloc(0);
  const repeat = kind % 401 === 1 ? 10_000 : 1 + (kind % 20);
  return Buffer.concat(Array.from({ length: repeat }, () => digest)).subarray(digest[2]! % 32);
}

/** Its stream: every fourth goes to the one that expires. */
export function streamOf(id: string): 'orders' | 'audit' {
  return partsOf(id).n % 4 === 0 ? 'audit' : 'orders';
}

/** Its order key: few of them, so that neighbours share one. */
export function keyOf(id: string): string {
  return `key-${digestOf(id)[3]! % 16}`;
}

/** One of two tenants. */
export function tenantOf(id: string): string {
  return digestOf(id)[5]! % 2 === 0 ? '_' : 'acme';
}

/** One event in thirty is one that no sink takes, until it is sent again. */
export function isPoison(id: string): boolean {
  return digestOf(id)[4]! % 30 === 0;
}

/** One event in three gets its id from the log's own side: it is not looked up in the window of ids. */
export function isGenerated(id: string): boolean {
  return partsOf(id).n % 3 === 0;
}

let lastId = '';
let lastDigest = Buffer.alloc(0);

function digestOf(id: string): Buffer {
  if (id !== lastId) {
    lastDigest = createHash('sha256').update(id).digest();
    lastId = id;
  }
  return lastDigest;
}
