/** Batcher against the least that anyone could write by hand (an array, an array of promises), and against TanStack Pacer. */

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Batcher } from '@tanstack/pacer/batcher';
import { createBatcher } from 'sluice';
import { heading, median, nanosecondsPerOperation, report } from './support.js';

const items = 200_000;
const maxItems = 500;
const warmUps = 15;
const sink = { write: async () => {} };

function offerToArray() {
  let buffer = [];
  for (let i = 0; i < items; i++) {
    buffer.push(i);
    if (buffer.length === maxItems) {
      void sink.write(buffer.slice());
      buffer = [];
    }
  }
  return items;
}

async function offerToBatcher() {
  const batcher = createBatcher({ sink, maxItems, maxInFlight: Infinity, maxHeldItems: Infinity, timeoutMs: Infinity });
  for (let i = 0; i < items; i++) batcher.offer(i);
  await batcher.close();
  return items;
}

/** A tenth of the items: it copies its list for each. */
function offerToPacer() {
  const pacer = new Batcher((batch) => void sink.write(batch), { maxSize: maxItems, wait: 100 });
  for (let i = 0; i < items / 10; i++) pacer.addItem(i);
  pacer.flush();
  return items / 10;
}

async function pushToArray() {
  let waiting = [];
  const all = [];
  const flush = async (batch) => {
    await sink.write(batch.map((entry) => entry.item));
    for (const entry of batch) entry.resolve();
  };
  for (let i = 0; i < items; i++) {
    all.push(
      new Promise((resolve) => {
        waiting.push({ item: i, resolve });
      }),
    );
    if (waiting.length === maxItems) {
      void flush(waiting);
      waiting = [];
    }
    if (all.length === 10_000) await Promise.all(all.splice(0));
  }
  await flush(waiting);
  return items;
}

async function pushToBatcher() {
  const batcher = createBatcher({ sink, maxItems, maxInFlight: Infinity, maxHeldItems: Infinity, timeoutMs: Infinity });
  const all = [];
  for (let i = 0; i < items; i++) {
    all.push(batcher.push(i));
    if (all.length === 10_000) await Promise.all(all.splice(0));
  }
  await batcher.close();
  return items;
}

async function benchHeld() {
  heading('1,000,000 items held: memory an item beyond the item; time an item against that at 10,000 (a process each)');
  const program = fileURLToPath(new URL('./held.js', import.meta.url));
  for (const call of ['offer', 'push', 'promise']) {
    const samples = [];
    for (let i = 0; i < 5; i++)
      samples.push(JSON.parse(execFileSync(process.execPath, ['--expose-gc', program, call], { encoding: 'utf8' })));
    const middle = (name) => median(samples.map((sample) => sample[name]));
    const [bytes, many, few] = [middle('bytes'), middle('manyNs'), middle('fewNs')];
    console.log(
      `  ${(call === 'promise' ? 'by hand: array and promise' : call).padEnd(28)} ${bytes.toFixed(0).padStart(6)} B/item   ${many.toFixed(0).padStart(6)} ns/item, at 10,000 ${few.toFixed(0)} ns   ${(many / few).toFixed(2)} ×`,
    );
  }
}

export async function benchBatcher() {
  heading(`offer(item), batches of ${maxItems}; the array has no window, no bound, no tally and no errors`);
  report(
    'ns/item',
    await nanosecondsPerOperation(
      { 'array push and slice': offerToArray, 'sluice offer': offerToBatcher, 'TanStack Pacer addItem': offerToPacer },
      { warmUps },
    ),
    'array push and slice',
  );
  heading(`push(item), a promise an item, batches of ${maxItems}`);
  report(
    'ns/item',
    await nanosecondsPerOperation({ 'array and promise': pushToArray, 'sluice push': pushToBatcher }, { warmUps }),
    'array and promise',
  );
  await benchHeld();
}
