/** Turns: what falls due all at once, done in slices, so that the requests that arrive meanwhile are read between them. */

/**
 * Does what it is given, in order: the first `perTurn` of a turn of the event loop at once, the others in the turns that follow.
 *
 * The answers of a window fall due together. Whoever has his own asks again at once; were all of them sent in one turn, his next
 * request would lie unread until the last is gone, and he would wait that much longer than the window.
 */
export function createTurns(perTurn: number): (fn: () => void) => void {
  /** Of an earlier turn, those that are left; what is new comes behind them. */
  let waiting: (() => void)[] = [];
  let late: (() => void)[] = [];
  let next = 0;
  let done = 0;
  const turn = (): void => {
    done = 0;
    while (done < perTurn) {
      if (next === waiting.length) {
        // A list that is never empty would grow for ever: what is done is let go a list at a time.
        waiting = late;
        late = [];
        next = 0;
        if (waiting.length === 0) break;
      }
      done++;
      waiting[next++]!();
    }
    if (done > 0) setImmediate(turn);
  };
  return (fn) => {
    if (next < waiting.length || late.length > 0 || done >= perTurn) {
      late.push(fn);
      return;
    }
    if (done === 0) setImmediate(turn);
    done++;
    fn();
  };
}
