/** Servers: what answers in place of a service, a backend or a receiver. */

import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';

/** Makes HTTP servers on free ports; each is closed, with its connections, when the test is over. */
export function useServers() {
  const closing = new Map<string, () => Promise<void>>();
  const close = async (url: string): Promise<void> => {
    const its = closing.get(url);
    closing.delete(url);
    await its?.();
  };
  afterEach(async () => {
    for (const url of [...closing.keys()]) await close(url);
  });

  return {
    /** Starts one; its address, without a slash at the end. */
    async start(answer: RequestListener): Promise<string> {
      const server = createServer(answer);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const closed = () =>
        new Promise<void>((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        });
      closing.set(url, closed);
      return url;
    },
    close,
    /** An address at which nothing answers. */
    async gone(): Promise<string> {
      const url = await this.start(() => {});
      await close(url);
      return url;
    },
  };
}
