/** Lanes of a layer: state that is kept apart per lane, made when it is first asked for and forgotten when it says nothing any more. */

/** The state of each lane. */
export interface LaneStates<S> {
  of(lane: string): S;
  /** Lanes that are remembered now. */
  readonly size: number;
}

/** Forgetting starts at so many lanes; fewer are not worth the look. */
const fewLanes = 64;

/**
 * State per lane, or one for all.
 *
 * @param mayForget whether a state is as good as a fresh one. Looked at once the number of lanes has doubled, so that each arrival
 * costs constant time on average, and at most twice as many lanes are remembered as have something to remember.
 */
export function laneStates<S>(perLane: boolean, create: (lane: string) => S, mayForget: (state: S) => boolean): LaneStates<S> {
  const states = new Map<string, S>();
  let lookAt = fewLanes;

  const add = (lane: string): S => {
    if (states.size >= lookAt) {
      for (const [known, state] of states) if (mayForget(state)) states.delete(known);
      lookAt = Math.max(fewLanes, 2 * states.size);
    }
    const state = create(lane);
    states.set(lane, state);
    return state;
  };

  return {
    of: (lane) => {
      const key = perLane ? lane : '';
      return states.get(key) ?? add(key);
    },
    get size() {
      return states.size;
    },
  };
}
