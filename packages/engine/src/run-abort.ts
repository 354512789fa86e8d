import { IdempotencyError } from "./errors.ts";

/** Why the engine aborted the `signal` of a running function. */
export type AbortReason =
  /** The engine was closed, and the grace given to running functions was over. */
  | "engine-closed"
  /** The lease was over before a renewal was confirmed. The store may still hold the claim. */
  | "lease-unconfirmed"
  /** The store refused the claim: it was taken over, settled or removed. */
  | "claim-refused"
  /** The function ran for longer than `maxRunMs`. */
  | "ran-too-long";

const ABORT_TEXT: Readonly<Record<AbortReason, string>> = {
  "engine-closed": "The engine was closed while this function ran.",
  "lease-unconfirmed":
    "The lease could not be confirmed in time while this function ran, so another call may take over.",
  "claim-refused":
    "The claim was lost while this function ran: it was taken over, settled or removed.",
  "ran-too-long": "This function ran for longer than `maxRunMs`.",
};

/**
 * The reason of a `signal` that the engine aborted while a function ran. The function may have had
 * effects. If it throws after that, its outcome stays open unless `onError` is a function or `hold`, see
 * `docs/guarantees.md`.
 */
export class RunAbortedError extends IdempotencyError {
  override readonly name = "RunAbortedError";
  static override readonly code = "RUN_ABORTED";
  readonly code = RunAbortedError.code;
  readonly reason: AbortReason;
  /** The fencing number of the run. */
  readonly token: number;

  constructor(details: { readonly reason: AbortReason; readonly token: number }) {
    super(
      `${ABORT_TEXT[details.reason]} It may have had effects. If its outcome stays open, ` +
        "`onLapsed`, the `reconcile` of a step or an operator (engine.settle) decides it.",
    );
    this.reason = details.reason;
    this.token = details.token;
  }
}

/** The `signal` of one run: whether the engine has aborted it, and whether the function has read it. */
export class RunAbort {
  readonly #token: number;
  #controller: AbortController | undefined;
  #reason: RunAbortedError | undefined;

  constructor(token: number) {
    this.#token = token;
  }

  /** Made when it is first read: most functions never do. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Why the run was aborted, if it was. */
  get reason(): RunAbortedError | undefined {
    return this.#reason;
  }

  /** Whether the abort may be why the function throws, although its request has had an effect. */
  get hasReachedFunction(): boolean {
    return this.#reason !== undefined && this.#controller !== undefined;
  }

  /** Returns whether this is the first abort: its reason stays. */
  abort(reason: AbortReason): boolean {
    if (this.#reason !== undefined) return false;
    this.#reason = new RunAbortedError({ reason, token: this.#token });
    this.#controller?.abort(this.#reason);
    return true;
  }
}
