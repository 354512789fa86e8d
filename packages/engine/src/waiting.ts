/** What limits a call beside its own time, and what follows if it fails. */
export interface Terms<Result> {
  /** Once an engine is closing, nothing is sent whose result would come after the end of its grace. */
  readonly lifetime: { readonly endsAtMs: number };
  /** Takes each result that comes once the call has failed. */
  readonly onLate: (result: Result) => void;
}

/** Ends the time of a call from outside: there is no end where nothing limits it. */
const NO_END_MS = Number.POSITIVE_INFINITY;

/**
 * One call in a line. Several lists may be sent for it, and the first result that comes settles it.
 * A result that comes once it has failed goes to `onLate`, and a result after another one goes nowhere:
 * a claim that a caller has got is never given back for it.
 */
export class Waiting<Entry, Result> {
  readonly entry: Entry;
  readonly timeoutMs: number;
  readonly deadlineMs: number;
  readonly result: Promise<Result>;
  readonly #terms: Terms<Result> | undefined;
  #resolve!: (result: Result) => void;
  #reject!: (error: unknown) => void;
  #state: "open" | "settled" | "failed" = "open";

  constructor(entry: Entry, timeoutMs: number, deadlineMs: number, terms?: Terms<Result>) {
    this.entry = entry;
    this.timeoutMs = timeoutMs;
    this.deadlineMs = deadlineMs;
    this.#terms = terms;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** When it was made, on the monotonic clock. */
  get madeAtMs(): number {
    return this.deadlineMs - this.timeoutMs;
  }

  get isOfClosing(): boolean {
    return this.#terms !== undefined && this.#terms.lifetime.endsAtMs !== NO_END_MS;
  }

  /** When its result is too late: at its deadline, or at the end of its engine's grace. */
  get endsAtMs(): number {
    return Math.min(this.deadlineMs, this.#terms?.lifetime.endsAtMs ?? NO_END_MS);
  }

  settle(result: Result): void {
    if (this.#state === "open") {
      this.#state = "settled";
      this.#resolve(result);
    } else if (this.#state === "failed") {
      this.#terms?.onLate(result);
    }
  }

  fail(error: unknown): void {
    if (this.#state !== "open") return;
    this.#state = "failed";
    this.#reject(error);
  }
}
