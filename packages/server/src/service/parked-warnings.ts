/** Parked warnings: that a group parks dead letters is said in the service's own log: at most one line a group in ten seconds, never a payload. */

import type { Cancel, Clock } from 'sluice';
import type { Log } from 'sluice/log';
import type { AlarmLogger } from './alarms.js';

const everyMs = 10_000;

/** Codes that a line names at most. */
const maxCodes = 5;

/** What a group has parked since the last line about it. */
interface Untold {
  items: number;
  readonly codes: Set<string>;
  cancel: Cancel;
}

/** The log, which warns of what is parked. What has not been told is told when it closes. */
export function withParkedWarnings(log: Log, logger: AlarmLogger, clock: Clock): Log {
  const untold = new Map<string, Untold>();
  function tell(key: string, one: Untold): void {
    const [group, stream] = key.split('\n') as [string, string];
    if (one.items === 0) {
      untold.delete(key);
      return;
    }
    const codes = [...one.codes];
    const many = one.items === 1 ? '1 event' : `${one.items} events`;
    logger.warn(
      { group, stream, items: one.items, codes },
      `the group ${group} has parked ${many} of the stream ${stream} as dead letters (${codes.join(', ')}); sluice dlq ls shows them.`,
    );
    one.items = 0;
    one.codes.clear();
    one.cancel = clock.after(everyMs, () => tell(key, one));
  }
  const settle: Log['settle'] = async (owner, moves) => {
    await log.settle(owner, moves);
    const { dead = [] } = moves;
    if (dead.length === 0) return;
    const key = `${owner.group}\n${owner.stream}`;
    const known = untold.get(key);
    const one = known ?? { items: 0, codes: new Set<string>(), cancel: () => {} };
    one.items += dead.length;
    for (const { code } of dead) if (one.codes.size < maxCodes) one.codes.add(code);
    if (known !== undefined) return;
    untold.set(key, one);
    tell(key, one);
  };
  const close: Log['close'] = async () => {
    await log.close();
    for (const [key, one] of untold) {
      one.cancel();
      tell(key, one);
      one.cancel();
    }
    untold.clear();
  };
  return Object.assign(Object.create(log), { settle, close }) as Log;
}
