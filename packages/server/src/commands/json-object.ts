/** JSON object: a body of an answer that may be anything, and what an error in it says. */

/** The object or array that a text holds; `undefined` when it holds neither. */
export function jsonObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The code and the message of an error, as both planes answer it; `undefined` where the body is none of theirs. */
export function errorIn(body: object | undefined): { readonly code: string; readonly message: string } | undefined {
  const { code, message } = ((body as { error?: unknown } | undefined)?.error ?? {}) as { code?: unknown; message?: unknown };
  return typeof code === 'string' && typeof message === 'string' ? { code, message } : undefined;
}
