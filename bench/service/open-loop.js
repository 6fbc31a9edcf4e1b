/** Open loop: requests are sent when they are due, however long the answers take; latency counts from when one was due. */

import { openClient } from '../raw-client.js';
import { percentile } from '../support.js';

/** How long after the last request its answer is waited for. */
const unansweredMs = 30_000;

/**
 * Sends `perSecond` requests a second for `seconds`.
 *
 * @param newRequest makes the text of one.
 * @param settleSeconds what is due so soon has no part in the latencies: the service adapts to the load meanwhile.
 * @returns the answers by status, and of those answered with 200: how many a second, and `p(share)` of their latency in milliseconds.
 */
export async function openLoop(url, { perSecond, seconds, newRequest, connections = 512, settleSeconds = 0 }) {
  const client = await openClient(url, connections);
  const latencies = [];
  let taken = 0;
  const statuses = new Map();
  const answers = [];
  const startedAt = performance.now();
  const total = Math.round(perSecond * seconds);
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1000) * perSecond));
    for (; sent < due; sent++) {
      const dueAt = startedAt + (sent / perSecond) * 1000;
      const answered = ({ status }) => {
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (status !== 200) return;
        taken++;
        if (dueAt - startedAt >= settleSeconds * 1_000) latencies.push(performance.now() - dueAt);
      };
      // What fails has no answer, and is counted as that.
      answers.push(client.request(newRequest()).then(answered, () => {}));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const sentInSeconds = (performance.now() - startedAt) / 1000;
  await Promise.race([Promise.all(answers), new Promise((resolve) => setTimeout(resolve, unansweredMs))]);
  const unanswered = total - [...statuses.values()].reduce((sum, count) => sum + count, 0);
  if (unanswered > 0) statuses.set('none', unanswered);
  client.close();
  return {
    statuses,
    taken,
    takenPerSecond: taken / sentInSeconds,
    refused: total - taken,
    p: (share) => (latencies.length === 0 ? Number.NaN : percentile(latencies, share)),
  };
}

/** The answers, as text. */
export function answersText({ statuses }) {
  return [...statuses].map(([status, count]) => `${status} × ${count}`).join(', ');
}
