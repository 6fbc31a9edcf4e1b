/** The floor of a service over HTTP: `node:http` that reads a body, parses it as JSON, or each line of it, and answers 202. */

import { createServer } from 'node:http';

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const text = Buffer.concat(chunks).toString();
    // By the path: to look at a header costs a small request a tenth of its time.
    const isLines = request.url === '/lines';
    const events = isLines
      ? text
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line))
      : [JSON.parse(text)];
    response
      .writeHead(events.some((event) => event.id === undefined) ? 400 : 202, {
        'content-type': 'application/json',
        'content-length': 14,
      })
      .end('{"accepted":1}');
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
