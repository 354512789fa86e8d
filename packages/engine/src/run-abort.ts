import { type AbortReason, RunAbortedError } from "./errors.ts";

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
