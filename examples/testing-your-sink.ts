/** Testing your own sink: the suite that every sink must pass. Run it with `npm run example testing-your-sink`. */

import { failure, type Sink } from 'sluice';
import { exerciseSink } from 'sluice/testing';

interface Row {
  readonly id: number;
  readonly text: string | null;
}

/** A table that refuses rows without a text. It says that it is atomic, and writes row by row. */
function openTable() {
  const rows = new Map<number, Row>();
  const sink: Sink<Row> = {
    idempotent: true,
    atomic: true,
    async write(items, { signal }) {
      if (signal.aborted) throw failure('aborted', { class: 'transient' });
      for (const row of items) {
        if (row.text === null) throw failure('text must not be null', { class: 'permanent', code: '23502' });
        rows.set(row.id, row);
      }
    },
  };
  return { sink, rows };
}

// `describe` and `it` of any test runner; here a few lines that print.
const tests: [string, () => Promise<void>][] = [];
exerciseSink(
  'my sink',
  () => {
    const { sink, rows } = openTable();
    return {
      sink,
      item: (n) => ({ id: n, text: `row ${n}` }),
      badItem: (n) => ({ id: n, text: null }),
      written: () => [...rows.keys()],
      dispose: () => rows.clear(),
    };
  },
  { describe: (_, declare) => declare(), it: (name, test) => tests.push([name, test]) },
);

for (const [name, test] of tests) {
  await test().then(
    () => console.log('ok  ', name),
    (error) => console.log('FAIL', name, `\n     ${error.message}`),
  );
}
