/** The bounds of the gateway, each with a default and the answer given where it is reached. */

/** What a request may hold. */
export interface GatewayLimits {
  /** Longest URL in bytes, as received; above it 414. Default 8,000, what nginx and Apache take. */
  readonly maxUrlBytes: number;
  /** Largest body in bytes, before and after inflation; above it 413. Default 10 MiB. */
  readonly maxBodyBytes: number;
  /** Most items in one request; above it 413. Default 10,000. */
  readonly maxItems: number;
  /** Largest item in bytes; above it that item is refused (`ITEM_TOO_LARGE`). Default 1 MiB. */
  readonly maxItemBytes: number;
  /** Deepest nesting of objects and arrays in an item; above it the item is refused (`TOO_DEEP`). Default 1,000. */
  readonly maxDepth: number;
  /** Most bytes of bodies under way in all requests together; above it 503. Default 256 MiB. */
  readonly maxHeldBodyBytes: number;
  /** How long a request may take to arrive, and its answer to be read, in milliseconds; above it 408. Default 60,000. */
  readonly requestTimeoutMs: number;
}

/** The defaults of {@link GatewayLimits}. */
export const defaultLimits: GatewayLimits = {
  maxUrlBytes: 8_000,
  maxBodyBytes: 10 * 1024 * 1024,
  maxItems: 10_000,
  maxItemBytes: 1024 * 1024,
  maxDepth: 1_000,
  maxHeldBodyBytes: 256 * 1024 * 1024,
  requestTimeoutMs: 60_000,
};
