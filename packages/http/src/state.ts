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

/** Its functions can be taken off it, and are made only for those who ask: most handlers do not. */
export class RunningState implements IdempotencyState {
  readonly key: string;
  readonly scope: Scope;
  readonly replayed = false;
  readonly token: number;
  readonly attempt: number;
  readonly #claim: ClaimHandle;
  readonly #decide: (decision: Decision) => void;

  constructor({ key, scope }: OfKey, claim: ClaimHandle, decide: (decision: Decision) => void) {
    this.key = key;
    this.scope = scope;
    this.token = claim.token;
    this.attempt = claim.attempt;
    this.#claim = claim;
    this.#decide = decide;
  }

  get signal(): AbortSignal {
    return this.#claim.signal;
  }

  get step(): IdempotencyState["step"] {
    return (name, fn, options) => this.#claim.step(name, fn, options);
  }

  get steps(): IdempotencyState["steps"] {
    return this.#claim.steps;
  }

  get deriveKey(): IdempotencyState["deriveKey"] {
    return (name, options) => this.#claim.deriveKey(name, options);
  }

  get record(): () => void {
    return () => this.#decide("record");
  }

  get release(): () => void {
    return () => this.#decide("release");
  }

  get hold(): () => void {
    return () => this.#decide("hold");
  }
}

/** For whoever looks at a request whose handler does not run, such as a logger. */
export function replayedState(
  { key, scope }: OfKey,
  { token, attempt }: { readonly token: number; readonly attempt: number },
  deriveKey: IdempotencyState["deriveKey"],
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
    steps: { resolve: async () => nothingRuns() },
    record: nothingRuns,
    release: nothingRuns,
    hold: nothingRuns,
  };
}
