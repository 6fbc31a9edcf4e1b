/** Body text: a reply as text, read no further than a bound. */

/**
 * The body of a reply, decoded as UTF-8; `undefined` when it has more than `maxBytes`, as inflated: its rest is cancelled then.
 *
 * It is gathered in one block that grows, so that a body in tiny chunks costs no more memory than another.
 */
export async function bodyText(response: Response, maxBytes: number): Promise<string | undefined> {
  if (response.body === null) return '';
  const reader: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader();
  let block = new Uint8Array(0);
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new TextDecoder().decode(block.subarray(0, bytes));
    const needed = bytes + value.length;
    if (needed > maxBytes) {
      void reader.cancel().catch(() => {});
      return undefined;
    }
    if (needed > block.length) {
      const grown = new Uint8Array(Math.max(needed, Math.min(2 * block.length, maxBytes)));
      grown.set(block.subarray(0, bytes));
      block = grown;
    }
    block.set(value, bytes);
    bytes = needed;
  }
}
