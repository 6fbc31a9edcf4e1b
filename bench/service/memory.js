/** Memory: the anonymous memory of the service while something runs. */

import { anonymousMemory } from '../service-process.js';
import { atMost, load, mebibytes } from './goals.js';

/** What it may have at most, in each of the benchmarks. */
const mostBytes = 250 * 2 ** 20;

/** Runs `work`, and notes the most memory that the service had meanwhile. */
export async function withMemory(what, { pid }, work) {
  let most = 0;
  const timer = setInterval(() => {
    most = Math.max(most, anonymousMemory(pid));
  }, 100);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    console.log(`  ${load()}`);
    atMost(`${what}, RssAnon`, most, mostBytes, mebibytes);
  }
}
