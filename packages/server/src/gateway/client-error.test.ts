import { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import { clientError } from './client-error.js';

/** What is answered when the parser gives up at this packet. */
function refusalAt(packet: string): string {
  let text = '';
  const socket = new Duplex({
    read() {},
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  const error = Object.assign(new Error('overflow'), { code: 'HPE_HEADER_OVERFLOW', rawPacket: Buffer.from(packet) });
  clientError({ maxUrlBytes: 100, requestTimeoutMs: 1_000 })(error, Object.assign(socket, { destroySoon() {} }) as never);
  return text.slice(9, 12) + text.slice(text.indexOf('{'));
}

const long = 'k'.repeat(70_000);

test.each([
  ['a whole request with a long URL', `GET /${long} HTTP/1.1\r\nHost: x\r\n`],
  ['the end of a long URL', `${long} HTTP/1.1\r\nHost: x\r\n\r\n`],
])('%s is 414', (_name, packet) => {
  expect(refusalAt(packet)).toMatch(/^414.*"URL_TOO_LONG"/);
});

test.each([
  ['a whole request with a long header', `GET /a HTTP/1.1\r\nHost: x\r\nX: ${long}`],
  ['the end of a long header', `${long}\r\n\r\n`],
  ['many headers', 'a: b\r\n'.repeat(10_000)],
])('%s is 431', (_name, packet) => {
  expect(refusalAt(packet)).toMatch(/^431.*"HEADERS_TOO_LARGE"/);
});

test('the midst of one long word may be of either, and the answer speaks of both', () => {
  expect(refusalAt(long)).toMatch(/^414.*a URL of at most 100 bytes, and headers of at most 64 KiB/);
});
