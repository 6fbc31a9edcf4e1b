/** Listeners on a signal, counted: at rest there must be none. */

/**
 * Counts the abort listeners that are added to `signal` from now on and not removed.
 *
 * @returns how many are left.
 */
export function countListeners(signal: AbortSignal): () => number {
  const left = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = ((...args: Parameters<typeof addEventListener>) => {
    left.add(args[1]);
    addEventListener.apply(signal, args);
  }) as typeof addEventListener;
  signal.removeEventListener = ((...args: Parameters<typeof removeEventListener>) => {
    left.delete(args[1]);
    removeEventListener.apply(signal, args);
  }) as typeof removeEventListener;
  // A signal that was aborted has let go of those that asked to be called once.
  return () => (signal.aborted ? 0 : left.size);
}
