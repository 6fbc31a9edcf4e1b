/** Interrupt: Ctrl-C as a signal that a command can act on, while it runs. */

/**
 * Runs `work` with a signal that the first SIGINT or SIGTERM aborts. A second one ends the process, as it would without us.
 *
 * @param outer aborts it too.
 */
export async function interruptible<R>(work: (signal: AbortSignal) => Promise<R>, outer?: AbortSignal): Promise<R> {
  const controller = new AbortController();
  const interrupt = (): void => controller.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  outer?.addEventListener('abort', interrupt, { once: true });
  if (outer?.aborted === true) interrupt();
  try {
    return await work(controller.signal);
  } finally {
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
    outer?.removeEventListener('abort', interrupt);
  }
}
