import { expect, test } from 'vitest';
import { terminal } from '../../../test/support/printed.js';
import { type JobAnswer, printJob } from './job.js';

const job: JobAnswer = {
  ...{ id: '1', startedAt: 0, filter: {}, dryRun: false, state: 'cancelled' },
  ...{ matched: 6_001, redriven: 1_200, duplicates: 0, left: 4_801 },
};

test('a job is told with all of its numbers written alike', () => {
  const io = terminal();
  printJob(job, false, io);
  printJob({ ...job, state: 'running' }, false, io);
  expect(io.printed.out).toBe(
    'Cancelled: 1,200 of 6,001 letters sent again, 4,801 not sent: they stay parked.\n' +
      'Running: 1,200 of 6,001 letters sent again, 4,801 to go.\n',
  );
});
