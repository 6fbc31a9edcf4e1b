/** Goals: what was measured, what it must be, and whether it is; printed as one table at the end. */

import { loadavg } from 'node:os';

/** The rows of the table, in the order in which they were measured. */
const rows = [];

/** Notes a figure that must be at least so much. */
export function atLeast(what, figure, must, show) {
  note(what, figure, `≥ ${show(must)}`, figure >= must, show);
}

/** Notes a figure that must be at most so much. */
export function atMost(what, figure, must, show) {
  note(what, figure, `≤ ${show(must)}`, figure <= must, show);
}

/** Notes a figure that stands beside the others. */
export function figure(what, value, show) {
  note(what, value, '', undefined, show);
}

/** Prints the table; returns how many goals were missed. */
export function printGoals() {
  const width = Math.max(...rows.map(({ what }) => what.length));
  console.log(`\n${'what'.padEnd(width)}  ${'figure'.padStart(14)}  ${'must'.padStart(14)}  reached`);
  for (const { what, value, must, reached } of rows) {
    const verdict = reached === undefined ? '' : reached ? 'yes' : 'NO';
    console.log(`${what.padEnd(width)}  ${value.padStart(14)}  ${must.padStart(14)}  ${verdict}`);
  }
  return rows.filter(({ reached }) => reached === false).length;
}

export const perSecond = (value) => `${Math.round(value).toLocaleString('en')}/s`;
export const times = (value) => `${value.toFixed(2)} ×`;
export const milliseconds = (value) => `${value.toFixed(1)} ms`;
export const mebibytes = (value) => `${(value / 2 ** 20).toFixed(0)} MiB`;
export const count = (value) => Math.round(value).toLocaleString('en');

/** The load of the machine, to stand beside figures. */
export const load = () => `load average ${loadavg()[0].toFixed(1)}`;

function note(what, figure, must, reached, show) {
  const value = Number.isFinite(figure) ? show(figure) : '–';
  rows.push({ what, value, must, reached });
  console.log(`  ${what}: ${value}${must === '' ? '' : `, must be ${must}`}`);
}
