/** What is known when an operation is given up. */
export interface DeadlineDetails {
  readonly key: string;
  readonly attempts: number;
  /** How long it was tried, in milliseconds. */
  readonly elapsedMs: number;
  readonly lastStatus: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly cause: unknown;
}

/**
 * No final answer came within the deadline. Nobody knows whether the operation happened: an attempt
 * whose answer was lost may have done it, or may be doing it now. Try again later with the same key.
 */
export class IdempotencyDeadlineError extends Error {
  // Written out, as bundlers and minifiers give classes other names.
  override readonly name = "IdempotencyDeadlineError";
  /** Tells the error apart where `instanceof` cannot: between two copies of this package. */
  readonly code = "DEADLINE_EXCEEDED";
  /** The key of the operation. It is not in the message, which may end up in logs. */
  readonly key: string;
  /** How often the request was sent. */
  readonly attempts: number;
  /** The status of the last attempt; undefined if it got no response. `cause` says why. */
  readonly lastStatus: number | undefined;
  /** What the last response asked for by Retry-After, in milliseconds from then. */
  readonly retryAfterMs: number | undefined;

  constructor(details: DeadlineDetails) {
    const { attempts, elapsedMs, lastStatus } = details;
    const last = lastStatus === undefined ? "got no response (see `cause`)" : `got ${lastStatus}`;
    super(
      `No final answer after ${attempts} ${attempts === 1 ? "attempt" : "attempts"} in ` +
        `${Math.round(elapsedMs)} ms; the last one ${last}. ` +
        "Nobody knows whether the operation happened. Try again later with the same key " +
        "(`error.key`): a new key could make it happen twice.",
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.key = details.key;
    this.attempts = attempts;
    this.lastStatus = lastStatus;
    this.retryAfterMs = details.retryAfterMs;
  }
}

export interface ShouldRetryDetails {
  readonly key: string;
  readonly attempts: number;
  readonly lastStatus: number;
  readonly cause: unknown;
}

/**
 * The option `shouldRetry` threw, or returned a wrong value. `cause` is its error. The operation may
 * have happened: retry it with the same key.
 */
export class ShouldRetryError extends Error {
  override readonly name = "ShouldRetryError";
  /** Identifies the error where `instanceof` cannot: between two copies of this package. */
  readonly code = "SHOULD_RETRY_FAILED";
  /** The key of the operation. The message does not contain it, because messages end up in logs. */
  readonly key: string;
  /** How often the request was sent. */
  readonly attempts: number;
  /** The status of the response that `shouldRetry` got. */
  readonly lastStatus: number;

  constructor({ key, attempts, lastStatus, cause }: ShouldRetryDetails) {
    super(
      `shouldRetry failed (see \`cause\`) on the response of attempt ${attempts}, with status ` +
        `${lastStatus}. The operation may have happened. Retry it with the same key ` +
        "(`error.key`): a new key could make it happen twice.",
      { cause },
    );
    this.key = key;
    this.attempts = attempts;
    this.lastStatus = lastStatus;
  }
}
