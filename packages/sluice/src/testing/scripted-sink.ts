/** scriptedSink: the test plays the backend. */

import type { Sink, SinkContext } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';

/** A call of a scripted sink. The test answers it, once. */
export interface SinkCall<T, R> {
  readonly items: readonly T[];
  readonly context: SinkContext;
  /** Answers with the results, or with nothing (all done). */
  reply(results?: readonly (R | Error)[]): void;
  fail(error: unknown): void;
}

/** A sink whose calls a test answers. */
export interface ScriptedSink<T, R> extends Sink<T, R> {
  /** All calls so far, oldest first. */
  readonly calls: readonly SinkCall<T, R>[];
  /** Calls that have not been answered. */
  readonly open: number;
}

/**
 * A sink that does what the test says. With `answer`, calls are answered at once by it; without, each waits for the test's `reply`
 * or `fail`.
 */
export function scriptedSink<T, R = void>(
  options: {
    readonly idempotent?: boolean;
    readonly atomic?: boolean;
    readonly answer?: (items: readonly T[], call: number) => void | readonly (R | Error)[];
  } = {},
): ScriptedSink<T, R> {
  const calls: SinkCall<T, R>[] = [];
  let open = 0;
  return {
    calls,
    get open() {
      return open;
    },
    idempotent: options.idempotent ?? false,
    atomic: options.atomic ?? false,
    write(items, context) {
      open++;
      return new Promise((resolve, reject) => {
        let answered = false;
        const answer = () => {
          if (answered) throw failure(`call ${calls.indexOf(call)} of the scripted sink was answered already.`);
          answered = true;
          open--;
        };
        const call: SinkCall<T, R> = {
          items,
          context,
          reply(results) {
            answer();
            resolve(results);
          },
          fail(error) {
            answer();
            reject(error);
          },
        };
        calls.push(call);
        if (options.answer === undefined) return;
        let results: void | readonly (R | Error)[];
        try {
          results = options.answer(items, calls.length);
        } catch (error) {
          return call.fail(error);
        }
        call.reply(results ?? undefined);
      });
    },
  };
}
