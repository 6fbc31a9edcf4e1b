/** The floor of a service over HTTP: `node:http` that reads a body, parses it as JSON and answers 202. */

import { createServer } from 'node:http';

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const event = JSON.parse(Buffer.concat(chunks).toString());
    response
      .writeHead(event.id === undefined ? 400 : 202, { 'content-type': 'application/json', 'content-length': 14 })
      .end('{"accepted":1}');
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
