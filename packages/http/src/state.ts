import type { Context, Scope, TransactionalClaimHandle } from "@idemkit/engine";
import type { NamedResponse } from "./named-response.ts";

/** What a handler under a key may know and decide. */
export interface IdempotencyState extends Context {
  readonly key: string;
  readonly scope: Scope;
  /** Whether the response is the first one again. Then the handler does not run. */
  readonly replayed: boolean;
  /**
   * Keeps the response, whatever its status.
   *
   * @param response the outcome, for a handler that takes its response away from the framework. Without
   *   one, the handler's own response is kept
   * @throws TypeError if it could not be sent
   */
  record(response?: NamedResponse): void;
  /** Gives the key back once the handler has responded: only right if nothing was done. */
  release(): void;
  /** Leaves the outcome open for an operator to settle. Duplicates get 409 `outcome-unknown`. */
  hold(): void;
  /**
   * Writes to the store's own database, and records the response in the same commit: both are there, or
   * neither is. The response that `work` returns is the outcome and is sent, whatever its status and whatever
   * the handler returns or throws afterwards.
   *
   * @param work writes through `tx`, the driver's own transaction. It may run more than once, after a
   *   deadlock for example, so that it must change nothing but through `tx`
   * @returns the response that was committed
   * @throws the error of `work`: then nothing was written, and the handler may go on; StoreError if the
   *   database failed; TypeError if the store has no transactions, or the response is a stream
   */
  transaction<Tx = unknown>(
    work: (tx: Tx) => NamedResponse | Promise<NamedResponse>,
  ): Promise<NamedResponse>;
}

/** What a handler may decide about its key. */
export type Decision = "record" | "release" | "hold";

export interface OfKey {
  readonly key: string;
  readonly scope: Scope;
}

/** What becomes of a handler's calls. */
export interface StateSink {
  decide(decision: Decision, response?: NamedResponse): void;
  /** The handler begins to do something that can have had an effect. */
  begin(): void;
  transaction: IdempotencyState["transaction"];
}

type Claim = Pick<
  TransactionalClaimHandle<unknown, false>,
  "token" | "attempt" | "signal" | "step" | "steps" | "deriveKey"
>;

/** Its functions can be taken off it, and are made only when a handler asks: most handlers do not. */
export class RunningState implements IdempotencyState {
  readonly key: string;
  readonly scope: Scope;
  readonly replayed = false;
  readonly token: number;
  readonly attempt: number;
  readonly #claim: Claim;
  readonly #sink: StateSink;

  constructor({ key, scope }: OfKey, claim: Claim, sink: StateSink) {
    this.key = key;
    this.scope = scope;
    this.token = claim.token;
    this.attempt = claim.attempt;
    this.#claim = claim;
    this.#sink = sink;
  }

  get signal(): AbortSignal {
    return this.#claim.signal;
  }

  get step(): IdempotencyState["step"] {
    return (name, fn, options) => {
      this.#sink.begin();
      return this.#claim.step(name, fn, options);
    };
  }

  get steps(): IdempotencyState["steps"] {
    return this.#claim.steps;
  }

  get deriveKey(): IdempotencyState["deriveKey"] {
    return (name, options) => {
      this.#sink.begin();
      return this.#claim.deriveKey(name, options);
    };
  }

  get transaction(): IdempotencyState["transaction"] {
    return (work) => {
      this.#sink.begin();
      return this.#sink.transaction(work);
    };
  }

  get record(): IdempotencyState["record"] {
    return (response) => this.#sink.decide("record", response);
  }

  get release(): () => void {
    return () => this.#sink.decide("release");
  }

  get hold(): () => void {
    return () => this.#sink.decide("hold");
  }
}

/** For a logger, say, that looks at a request whose handler does not run. */
export function replayedState(
  { key, scope }: OfKey,
  { token, attempt }: { readonly token: number; readonly attempt: number },
  deriveKey: IdempotencyState["deriveKey"],
): IdempotencyState {
  const nothingRuns = () => {
    throw new Error("This request is a duplicate: nothing runs, and there is nothing to decide.");
  };
  const neverRuns = async () => nothingRuns();
  let signal: AbortSignal | undefined;
  return {
    ...{ key, scope, replayed: true, token, attempt, deriveKey },
    // Few handlers ask, and one signal for all would gather listeners.
    get signal() {
      signal ??= new AbortController().signal;
      return signal;
    },
    ...{ step: neverRuns, steps: { resolve: neverRuns }, transaction: neverRuns },
    ...{ record: nothingRuns, release: nothingRuns, hold: nothingRuns },
  };
}
