import type { Transition } from "@idemkit/engine/model";
import { type Move, movesFrom } from "./moves.ts";
import { type Budget, firstState, keyOf, type Policy, type State } from "./state.ts";

export type { Policy } from "./state.ts";

export interface Search {
  readonly policies: readonly Policy[];
  readonly budget: Budget;
  /** The rules to search, or a broken variant of them. Default: the store's. */
  readonly transition?: Transition;
  readonly onProgress?: (states: number, left: number) => void;
}

export interface Searched {
  readonly states: number;
  readonly moves: number;
  /** The first moves found that break an invariant, from the beginning on. */
  readonly broken?: { readonly invariant: string; readonly path: readonly string[] };
}

/** What may happen, and how often, in the search of the normal tests. */
export const BUDGET: Budget = {
  faults: 1,
  lapses: 2,
  operators: 1,
};

const PROGRESS_EVERY = 10_000;
/** More keys than a set can hold: a search that stopped short would prove nothing. */
const STATES_MAX = 16_000_000;

interface Reached {
  readonly state: State;
  readonly by: string;
  readonly from: Reached | undefined;
}

/** Goes through every state that callers of these policies can bring about, breadth first. */
export function search({ policies, budget, transition, onProgress }: Search): Searched {
  const first: Reached = { state: firstState(policies, budget), by: "", from: undefined };
  const seen = new Set([keyOf(first.state)]);
  const left: Reached[] = [first];
  let moves = 0;
  for (let at = 0; at < left.length; at += 1) {
    const reached = left[at] as Reached;
    for (const move of movesFrom(reached.state, transition)) {
      moves += 1;
      const next = { state: move.to, by: move.name, from: reached };
      if (move.broken !== undefined) return brokenBy(move, next, seen.size, moves);
      const key = keyOf(move.to);
      if (seen.has(key)) continue;
      seen.add(key);
      if (seen.size > STATES_MAX) throw new RangeError(`There are more than ${STATES_MAX} states.`);
      left.push(next);
      if (seen.size % PROGRESS_EVERY === 0) onProgress?.(seen.size, left.length - at);
    }
  }
  return { states: seen.size, moves };
}

function brokenBy(move: Move, last: Reached, states: number, moves: number): Searched {
  const path: string[] = [];
  for (let at: Reached | undefined = last; at?.from !== undefined; at = at.from)
    path.unshift(at.by);
  return { states, moves, broken: { invariant: move.broken ?? "", path } };
}
