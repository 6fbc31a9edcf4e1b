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

/** The code and the message of an error, as both planes answer it; each is `undefined` where it is not a text. */
export function errorIn(body: object | undefined): { readonly code: string | undefined; readonly message: string | undefined } {
  const { code, message } = ((body as { error?: unknown } | undefined)?.error ?? {}) as { code?: unknown; message?: unknown };
  return { code: typeof code === 'string' ? code : undefined, message: typeof message === 'string' ? message : undefined };
}
