import type { ClaimHandle, Context, Scope } from "@idemkit/engine";

/** What a handler under a key may know and decide. */
export interface IdempotencyState extends Context {
  readonly key: string;
  readonly scope: Scope;
  /** Whether the response is the first one again. Then the handler does not run. */
  readonly replayed: boolean;
  /** Keeps the response, whatever its status. */
  record(): void;
  /** Gives the key back once the handler has answered: only right where nothing was done. */
  release(): void;
  /** Leaves the outcome open, for an operator to settle it. Duplicates are told that it is unknown. */
  hold(): void;
}

/** What a handler may decide about its key. */
export type Decision = "record" | "release" | "hold";

export interface OfKey {
  readonly key: string;
  readonly scope: Scope;
}

export function runningState(
  { key, scope }: OfKey,
  claim: ClaimHandle,
  decide: (decision: Decision) => void,
): IdempotencyState {
  const { token, attempt } = claim;
  // Not spread: an object that is put together takes several times as long to make.
  return {
    key,
    scope,
    replayed: false,
    token,
    attempt,
    get signal() {
      return claim.signal;
    },
    step: (name, fn, options) => claim.step(name, fn, options),
    deriveKey: (name) => claim.deriveKey(name),
    record: () => decide("record"),
    release: () => decide("release"),
    hold: () => decide("hold"),
  };
}

/** For whoever looks at a request whose handler does not run, such as a logger. */
export function replayedState(
  { key, scope }: OfKey,
  { token, attempt }: { readonly token: number; readonly attempt: number },
  deriveKey: (name: string) => string,
): IdempotencyState {
  const nothingRuns = () => {
    throw new Error("This request is a duplicate: nothing runs, and there is nothing to decide.");
  };
  let signal: AbortSignal | undefined;
  return {
    key,
    scope,
    replayed: true,
    token,
    attempt,
    deriveKey,
    // Hardly anybody asks, and one for all would gather listeners.
    get signal() {
      signal ??= new AbortController().signal;
      return signal;
    },
    step: async () => nothingRuns(),
    record: nothingRuns,
    release: nothingRuns,
    hold: nothingRuns,
  };
}
