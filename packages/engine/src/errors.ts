import type { Status } from "./store.ts";
import { NotSentError } from "./timing.ts";

const BRAND = Symbol.for("idemkit.error");

export type ErrorCode =
  | "INVALID_KEY"
  | "INVALID_SCOPE"
  | "PAYLOAD_CONFLICT"
  | "IN_PROGRESS"
  | "OUTCOME_UNKNOWN"
  | "LEASE_LOST"
  | "RUN_ABORTED"
  | "REPLAYED_FAILURE"
  | "RESULT_UNAVAILABLE"
  | "STORE_FAILED"
  | "ENGINE_CLOSED"
  | "SETTLE_REFUSED";

/**
 * The base of every error that idemkit throws on purpose, told apart by `code`.
 *
 * `instanceof` goes by a registered symbol and the code, so that it also holds for an error thrown
 * by another copy of this package. Messages never contain keys, payloads or stored bodies.
 */
export abstract class IdempotencyError extends Error {
  declare static readonly code?: ErrorCode;
  abstract readonly code: ErrorCode;
  // Written out in each class: bundlers and minifiers give classes other names.
  abstract override readonly name: string;

  static {
    Object.defineProperty(IdempotencyError.prototype, BRAND, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (!isBranded(value)) return false;
    if (this === IdempotencyError) return true;
    // A subclass of the user's own has no code of its own and is recognised by its prototype.
    if (Object.hasOwn(this, "code")) return value.code === this.code;
    return Object.prototype.isPrototypeOf.call(this.prototype, value);
  }
}

function isBranded(value: unknown): value is { readonly code: unknown } {
  return typeof value === "object" && value !== null && BRAND in value;
}

/** The key is not a string of 1 to 255 bytes. Nothing was sent to the store and nothing ran. */
export class InvalidKeyError extends IdempotencyError {
  override readonly name = "InvalidKeyError";
  static override readonly code = "INVALID_KEY";
  readonly code = InvalidKeyError.code;
}

/** The scope is not one string or a list of strings within bounds. Nothing was sent, nothing ran. */
export class InvalidScopeError extends IdempotencyError {
  override readonly name = "InvalidScopeError";
  static override readonly code = "INVALID_SCOPE";
  readonly code = InvalidScopeError.code;
}

/** The key was first used with another payload. Nothing ran; what was recorded is not revealed. */
export class ConflictError extends IdempotencyError {
  override readonly name = "ConflictError";
  static override readonly code = "PAYLOAD_CONFLICT";
  readonly code = ConflictError.code;

  constructor() {
    super(
      "This key was first used with another payload. " +
        "A key stands for one content: use a new key for new content.",
    );
  }
}

/** Another call with this key is running, or was interrupted within `settleAfterMs`. It may be tried again. */
export class InProgressError extends IdempotencyError {
  override readonly name = "InProgressError";
  static override readonly code = "IN_PROGRESS";
  readonly code = InProgressError.code;
  /** When to retry, in milliseconds from now: 50 to 1,000, however long the lease still holds. */
  readonly retryAfterMs: number;
  /** Which attempt is running, counted from 1. */
  readonly attempt: number;

  constructor(details: { readonly retryAfterMs: number; readonly attempt: number }) {
    super(
      "A call with this key is still running, or was interrupted and cannot be decided yet. " +
        `Retry with the same key in ${details.retryAfterMs} ms, or wait with \`onDuplicate: { waitMs }\`.`,
    );
    this.retryAfterMs = details.retryAfterMs;
    this.attempt = details.attempt;
  }
}

/** Why an outcome is unknown. */
export type UnknownReason =
  /** The process that ran it stopped renewing its lease: it may have died before or after effects. */
  | "lapsed"
  /** It was recorded as unknown, by the policy, by the code that ran it, or by an operator. */
  | "recorded"
  /** A step of this run may or may not have happened, and the function did not resolve it. */
  | "step-in-doubt";

const UNKNOWN_TEXT: Readonly<Record<UnknownReason, string>> = {
  lapsed:
    "An earlier call with this key left its outcome unknown: it may or may not have happened. " +
    "A later call can decide it by `onLapsed` or by the `reconcile` of a step. Otherwise an operator " +
    "settles it (engine.settle).",
  recorded:
    "The outcome of this key is recorded as unknown: it may or may not have happened. " +
    "It does not run again until an operator settles it (engine.settle).",
  "step-in-doubt":
    "A step of this key may or may not have happened, so no outcome was recorded. The step's " +
    "`reconcile` or `steps.resolve` can end the doubt. With `onLapsed: 'rerun'` a step without " +
    "`reconcile` runs again. Otherwise an operator settles the key as succeeded or failed (engine.settle).",
};

/**
 * The operation may or may not have happened. If it lapsed, a later call can decide it by `onLapsed` or
 * the `reconcile` of a step. An outcome recorded as unknown waits for `engine.settle` under every policy.
 */
export class OutcomeUnknownError extends IdempotencyError {
  override readonly name = "OutcomeUnknownError";
  static override readonly code = "OUTCOME_UNKNOWN";
  readonly code = OutcomeUnknownError.code;
  readonly reason: UnknownReason;
  readonly attempt: number;
  /** The fencing number of the attempt whose outcome is unknown. */
  readonly token: number;
  /** The function's return value, if it returned with a step in doubt. It is not recorded. */
  readonly value: unknown;

  constructor(details: {
    readonly reason: UnknownReason;
    readonly attempt: number;
    readonly token: number;
    readonly value?: unknown;
  }) {
    super(UNKNOWN_TEXT[details.reason]);
    this.reason = details.reason;
    this.attempt = details.attempt;
    this.token = details.token;
    this.value = details.value;
  }
}

/**
 * The function ran, but its claim was lost meanwhile: taken over, settled or removed. The value it
 * returned was not recorded; an error it threw is the `cause`.
 */
export class LeaseLostError extends IdempotencyError {
  override readonly name = "LeaseLostError";
  static override readonly code = "LEASE_LOST";
  readonly code = LeaseLostError.code;
  /** What the function returned, if it did. It is not the recorded outcome. */
  readonly value: unknown;
  readonly token: number;

  constructor(details: {
    readonly token: number;
    readonly value?: unknown;
    readonly cause?: unknown;
  }) {
    super(
      "The claim on this key was lost while the function ran: it was taken over, settled or " +
        "removed. Its late result was refused.",
      "cause" in details ? { cause: details.cause } : undefined,
    );
    this.value = details.value;
    this.token = details.token;
  }
}

/** The first call failed, and that failure is its outcome. `cause` is the original error, rebuilt. */
export class ReplayedError extends IdempotencyError {
  override readonly name = "ReplayedError";
  static override readonly code = "REPLAYED_FAILURE";
  readonly code = ReplayedError.code;
  readonly attempt: number;
  readonly token: number;
  /** Epoch milliseconds on the store's clock. */
  readonly createdAt: number;
  readonly completedAt: number;

  constructor(details: {
    readonly cause: unknown;
    readonly attempt: number;
    readonly token: number;
    readonly createdAt: number;
    readonly completedAt: number;
  }) {
    super(
      "The first call with this key failed, and this is its outcome again (see `cause`). " +
        "Nothing was run. To try anew, use a new key.",
      { cause: details.cause },
    );
    this.attempt = details.attempt;
    this.token = details.token;
    this.createdAt = details.createdAt;
    this.completedAt = details.completedAt;
  }
}

/** The operation is done, but its result could not be kept. It is not run again. */
export class ResultUnavailableError extends IdempotencyError {
  override readonly name = "ResultUnavailableError";
  static override readonly code = "RESULT_UNAVAILABLE";
  readonly code = ResultUnavailableError.code;
  readonly attempt: number;
  readonly token: number;
  /** Missing where the result is that of a step. */
  readonly completedAt: number | undefined;

  constructor(details: {
    readonly why: string;
    readonly attempt: number;
    readonly token: number;
    readonly completedAt?: number;
  }) {
    const what = details.completedAt === undefined ? "step" : "operation of this key";
    super(
      `The ${what} is done and is not run again, but its result was not kept: ` +
        `${details.why}. Look it up in your own data.`,
    );
    this.attempt = details.attempt;
    this.token = details.token;
    this.completedAt = details.completedAt;
  }
}

/** What the engine was doing when its store failed. */
export type StoreOperation =
  | "claim"
  | "renew"
  | "complete"
  | "release"
  | "read"
  | "list"
  | "remove"
  | "purge"
  | "transact";

/**
 * The store failed or gave no result in time. `cause` is the driver's own error, or an error with one of
 * the codes `TIMED_OUT`, `FAULTY_STORE`, `QUEUE_FULL` and `NOT_SENT`.
 */
export class StoreError extends IdempotencyError {
  override readonly name = "StoreError";
  static override readonly code = "STORE_FAILED";
  readonly code = StoreError.code;
  readonly operation: StoreOperation;
  /**
   * Whether the store may know of the call. `false` if nothing was sent, because too many calls wait
   * (`cause.code` is `QUEUE_FULL` or `NOT_SENT`): then the record is as it was.
   */
  readonly wasSent: boolean;

  constructor(operation: StoreOperation, cause: unknown) {
    const wasSent = !(cause instanceof NotSentError);
    const failure = wasSent ? "The store failed" : "Nothing was sent to the store";
    super(`${failure} to ${operation}${driverCode(cause)}. See \`cause\`.`, { cause });
    this.operation = operation;
    this.wasSent = wasSent;
  }
}

/** Drivers put row details into messages but not into codes, so the code alone is shown. */
function driverCode(cause: unknown): string {
  const code =
    typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined;
  return typeof code === "string" && /^[A-Z0-9_]{1,64}$/.test(code) ? ` (${code})` : "";
}

/** The engine is closed. The function was not called. */
export class EngineClosedError extends IdempotencyError {
  override readonly name = "EngineClosedError";
  static override readonly code = "ENGINE_CLOSED";
  readonly code = EngineClosedError.code;

  constructor() {
    super("This engine was closed and takes no more calls. Nothing was run.");
  }
}

/** The record cannot be settled as asked: see the message and `recorded` for what stands there. */
export class SettleRefusedError extends IdempotencyError {
  override readonly name = "SettleRefusedError";
  static override readonly code = "SETTLE_REFUSED";
  readonly code = SettleRefusedError.code;
  /** What is recorded now: its state, and its status where it has an outcome. */
  readonly recorded: { readonly state: string; readonly status?: Status } | undefined;

  constructor(why: string, recorded: SettleRefusedError["recorded"]) {
    super(why);
    this.recorded = recorded;
  }
}
