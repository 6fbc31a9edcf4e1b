/** Trace: the W3C `traceparent` of a request or of an event. */

const form = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The text, where it is a `traceparent` (W3C Trace Context, section 3.2); else `null`: a broken one is dropped, as the standard says. */
export function traceparent(text: unknown): string | null {
  return typeof text === 'string' && form.test(text) ? text : null;
}
