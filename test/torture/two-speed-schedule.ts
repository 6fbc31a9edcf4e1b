/** A schedule of two speeds: important items by one batcher, the rest by another; neither may notice the other. */

import { twoSpeed } from 'sluice';
import { standOf } from './batcher-schedule.js';
import type { Sent } from './batcher-settings.js';
import { drawFrom } from './draw.js';
import { type Played, script, worldOf } from './world.js';

/** Plays the schedule of a seed. `planted`: the important items take the way of the others. */
export async function playTwoSpeed(
  seed: number,
  { traced = false, planted = false }: { traced?: boolean; planted?: boolean } = {},
): Promise<Played> {
  const draw = drawFrom(seed);
  const trace: string[] = [];
  const note = (what: string) => {
    if (traced) trace.push(`${clock.now()} ${what}`);
  };
  const { clock, env } = worldOf(
    seed,
    () => {
      important.step();
      bestEffort.step();
    },
    (event) => note(JSON.stringify(event)),
  );
  const observed = (stand: () => typeof important) => ({
    ...env,
    observe: (event: Parameters<typeof env.observe>[0]) => {
      stand().watch.observe(event);
      env.observe(event);
    },
  });
  const important = standOf(
    draw,
    observed(() => important),
    {},
    (what) => note(`important: ${what}`),
  );
  const bestEffort = standOf(
    draw,
    observed(() => bestEffort),
    {},
    (what) => note(`best effort: ${what}`),
  );
  const both = twoSpeed<Sent, number>({
    important: planted ? bestEffort.batcher : important.batcher,
    bestEffort: bestEffort.batcher,
  });
  let waiting = 0;

  const write = (isImportant: boolean) => {
    const stand = isImportant ? important : bestEffort;
    const item = stand.callers.make();
    note(`write ${isImportant ? 'important' : ''} ${item.n}`);
    stand.watch.offered(item);
    waiting++;
    both.write(item, { important: isImportant }).then(
      (value) => {
        waiting--;
        if (isImportant) stand.watch.told(item, true, value);
        else if (value !== undefined)
          stand.watch.report('settledOnce', `item ${item.n} waited for its outcome: ${String(value)}`);
      },
      () => {
        waiting--;
        if (isImportant) stand.watch.told(item, false);
        else stand.watch.report('settledOnce', `item ${item.n}, which nobody waits for, was rejected`);
      },
    );
  };
  let closes = 0;
  const acts = script(draw, draw.int(1, 50), () => {
    if (draw.chance(0.9)) write(draw.chance(0.4));
    else {
      important.resume();
      bestEffort.resume();
    }
  });
  await clock.run(Number.POSITIVE_INFINITY, acts, acts.isOver);
  void both.close({ deadlineMs: draw.pick([0, 20, 1e7]) }).then(() => closes++);
  const isOver = () => closes === 1 && important.watch.calls() === 0 && bestEffort.watch.calls() === 0;
  await clock.run(Number.POSITIVE_INFINITY, undefined, isOver);
  if (important.settings.drawn.lingers || bestEffort.settings.drawn.lingers)
    await clock.run(clock.now() + 20_000, undefined, () => clock.timers === 0);
  if (closes === 0 || waiting > 0) important.watch.report('rest', `${waiting} writes wait, ${closes} closes are over`);
  important.rest(clock.timers);
  bestEffort.rest(clock.timers);
  return { violations: [...important.watch.violations, ...bestEffort.watch.violations], trace };
}
