import type { TakeOver } from "./abandoned.ts";
import { decodeError, decodeValue } from "./body.ts";
import type { ClaimScope } from "./claim-scope.ts";
import {
  ConflictError,
  EngineClosedError,
  OutcomeUnknownError,
  ReplayedError,
  ResultUnavailableError,
  StoreError,
  type UnknownReason,
} from "./errors.ts";
import { isComparable } from "./fingerprint.ts";
import type { Asked } from "./flights.ts";
import type { Completed, RecordId } from "./store.ts";

/** How often a record is asked for while it is too early to take it over. */
const SETTLING_POLLS = 10;
const SETTLING_POLL_MS_MIN = 50;

/** A recorded result, given to a duplicate. */
export interface Replay {
  readonly kind: "replay";
  readonly value: unknown;
  readonly attempt: number;
  readonly token: number;
  /** Epoch milliseconds on the store's clock. */
  readonly createdAt: number;
  readonly completedAt: number;
  readonly expiresAt: number;
  /** What to throw where the result was not kept, and nobody can rebuild it. */
  readonly notKept?: ResultUnavailableError;
}

/** One call, checked and hashed. */
export interface Call {
  readonly id: RecordId;
  readonly fingerprint: string;
  readonly signal: AbortSignal | undefined;
}

/** What is known of a call that is ahead of this one. */
export interface Running {
  readonly replay?: Replay;
  readonly attempt: number;
  readonly leaseRemainingMs: number;
  /** When to ask again about a record whose change cannot be watched. */
  readonly askAgainMs?: number;
}

/**
 * What another call's record means for this one: an outcome, an error, or that it still runs.
 *
 * @param takeOver when this call may take over the record, if it has lapsed
 */
export function meet(
  scope: ClaimScope,
  call: Call,
  asked: Extract<Asked, { kind: "attached" | "answered" }>,
  takeOver: TakeOver,
): Running {
  const other = asked.kind === "attached" ? asked.flight.request : asked.outcome;
  // Mismatch comes before all else: who does not know the content learns nothing about the outcome.
  checkFingerprint(scope, call, other.fingerprint);
  if (asked.kind === "attached") {
    return { attempt: asked.attempt, leaseRemainingMs: asked.flight.request.leaseMs };
  }
  const { outcome } = asked;
  switch (outcome.outcome) {
    case "in-progress":
      return outcome;
    case "lapsed": {
      if (takeOver === undefined) throw unknown(scope, call, outcome, "lapsed");
      const askAgainMs = Math.max(SETTLING_POLL_MS_MIN, takeOver / SETTLING_POLLS);
      return { attempt: outcome.attempt, leaseRemainingMs: askAgainMs, askAgainMs };
    }
    case "completed":
      if (outcome.status === "unknown") throw unknown(scope, call, outcome, "recorded");
      return {
        attempt: outcome.attempt,
        leaseRemainingMs: 0,
        replay: replay(scope, call, outcome),
      };
  }
}

function checkFingerprint({ events }: ClaimScope, call: Call, recorded: string): void {
  if (recorded === call.fingerprint) return;
  if (!isComparable(recorded)) {
    const why = "The record's fingerprint is of a version that this release cannot compare with.";
    throw new StoreError("claim", new Error(why));
  }
  events.emit("conflict", () => ({ digest: call.id.digest }));
  throw new ConflictError();
}

export function unknown(
  { events }: ClaimScope,
  { id: { digest } }: Call,
  { attempt, token }: { readonly attempt: number; readonly token: number },
  reason: UnknownReason,
): OutcomeUnknownError {
  events.emit("unknown", () => ({ digest, attempt, token, reason }));
  return new OutcomeUnknownError({ reason, attempt, token });
}

function replay(
  { events }: ClaimScope,
  { id: { digest } }: Call,
  completed: Omit<Completed, "ageMs"> & { readonly ageMs?: number },
): Replay {
  const { status, attempt, token, createdAt, completedAt, expiresAt, ageMs } = completed;
  const age = ageMs === undefined ? {} : { ageMs };
  events.emit("replayed", () => ({ digest, attempt, token, status, ...age }));
  if (status === "failed") {
    const cause = readBody(() => decodeError(completed.body));
    throw new ReplayedError({ cause, attempt, token, createdAt, completedAt });
  }
  const decoded = readBody(() => decodeValue(completed.body));
  const facts = { kind: "replay", attempt, token, createdAt, completedAt, expiresAt } as const;
  if (decoded.kept) return { ...facts, value: decoded.value };
  const notKept = new ResultUnavailableError({ why: decoded.why, attempt, token, completedAt });
  return { ...facts, value: undefined, notKept };
}

/** A body that cannot be read means a tampered or foreign record. It is never taken for "new". */
function readBody<T>(read: () => T): T {
  try {
    return read();
  } catch {
    // The parser's message would quote the body.
    throw new StoreError("claim", new Error("The stored body cannot be read."));
  }
}

/** @throws the signal's reason if the caller has left; EngineClosedError if the engine is closed */
export function checkWanted({ lifetime }: ClaimScope, { signal }: Call): void {
  signal?.throwIfAborted();
  if (lifetime.isEnded) throw new EngineClosedError();
}
