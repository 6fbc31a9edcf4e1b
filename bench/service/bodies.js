/** Bodies: the requests of the benchmarks. No event comes twice. */

import { requestText } from '../raw-client.js';

const fields = '"path":"/a/b/c","status":200,"bytes":12345,"agent":"Mozilla/5.0 (X11; Linux x86_64)"}';

/** Of this process: others may send to the same service. */
const run = process.pid.toString(36);
let nextId = 0;

/** One event of about 110 bytes, as JSON. */
export function event() {
  return `{"id":"${run}-${nextId++}",${fields}`;
}

/** Where events go at a level. */
export function eventsPath(ack) {
  return `/v1/streams/events/events?ack=${ack}`;
}

/** The text of a request with so many events: one as JSON, more as NDJSON. `key`: the API key that it is sent with. */
export function eventsRequest(ack, events, key) {
  if (events === 1) return requestText('POST', eventsPath(ack), event(), 'application/json', key);
  return requestText('POST', eventsPath(ack), lines(events), 'application/x-ndjson', key);
}

/** The same for the bare server. */
export function bareRequest(events) {
  if (events === 1) return requestText('POST', '/', event());
  return requestText('POST', '/lines', lines(events), 'application/x-ndjson');
}

function lines(events) {
  let text = '';
  for (let i = 0; i < events; i++) text += `${event()}\n`;
  return text;
}

/** The same for wrk, which runs Lua: a script that makes requests with one event each. */
export function wrkScript(path) {
  return `local n = 0
local headers = { ["content-type"] = "application/json" }
function request()
  n = n + 1
  return wrk.format("POST", "${path}", headers, '{"id":"w${run}-${nextId++}-' .. n .. '",${fields}')
end
`;
}
