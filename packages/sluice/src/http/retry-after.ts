/** Retry-After: how long a server asks us to wait. */

/**
 * The `Retry-After` header in milliseconds from now: seconds, or an HTTP date (RFC 9110, section 10.2.3); undefined when it is
 * absent or neither. Never negative.
 *
 * @param wallMs the wall clock, in epoch milliseconds.
 */
export function retryAfterMs(header: string | null, wallMs: number): number | undefined {
  if (header === null || header.trim() === '') return undefined;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - wallMs);
}
