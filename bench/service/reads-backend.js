/** A key-value backend that answers at once, in a thread of its own: its answers must not wait for the clients of the benchmark. */

import { createServer } from 'node:http';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** Runs `use` with a backend: its `url`, and `calls()`, which counts what it was asked. */
export async function withBackend(use) {
  const calls = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), { workerData: calls });
  try {
    const port = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await use({ url: `http://127.0.0.1:${port}/read`, calls: () => Atomics.load(calls, 0) });
  } finally {
    await worker.terminate();
  }
}

if (!isMainThread) {
  const server = createServer((request, response) => {
    Atomics.add(workerData, 0, 1);
    const keys = new URL(request.url, 'http://x').searchParams.getAll('keys').flatMap((text) => text.split(','));
    response.setHeader('content-type', 'application/json').end(JSON.stringify(Object.fromEntries(keys.map((key) => [key, 1]))));
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
}
