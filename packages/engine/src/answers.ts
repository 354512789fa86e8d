import type { ClaimOutcome, RecordView } from "./store.ts";

/**
 * Checks of what a store answers. They cost little, and a third-party store that breaks its
 * contract is told so at the first call instead of corrupting an outcome. Each answers what was
 * expected, or nothing where the answer is sound.
 */

/** A store broke its contract: its result cannot be used, and a retry would not help. */
export class FaultyStoreError extends Error {
  override readonly name = "FaultyStoreError";
  readonly code = "FAULTY_STORE";
}

type Problem = string | undefined;

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;
const isTime = (value: unknown) => Number.isFinite(value);
const isText = (value: unknown) => typeof value === "string";
const isStatus = (value: unknown) =>
  value === "succeeded" || value === "failed" || value === "unknown";

const STATES: ReadonlySet<unknown> = new Set([
  "in-progress",
  "lapsed",
  "unknown",
  "completed",
  "released",
]);

export function problemWithBoolean(answer: boolean): Problem {
  return typeof answer === "boolean" ? undefined : "expected true or false for each entry";
}

export function problemWithOutcome(answer: ClaimOutcome): Problem {
  if (typeof answer !== "object" || answer === null) return "expected an outcome for each entry";
  if (!isCount(answer.attempt)) {
    const { outcome } = answer;
    return OUTCOMES.has(outcome)
      ? "expected attempt to be a positive safe integer"
      : UNKNOWN_OUTCOME;
  }
  switch (answer.outcome) {
    case "claimed":
      if (typeof answer.takenOver !== "boolean") return "expected takenOver to be true or false";
      return problemWithToken(answer.token) ?? problemWithTime("createdAt", answer.createdAt);
    case "in-progress":
      return (
        problemWithText("fingerprint", answer.fingerprint) ??
        problemWithTime("leaseRemainingMs", answer.leaseRemainingMs)
      );
    case "lapsed":
      return problemWithText("fingerprint", answer.fingerprint) ?? problemWithToken(answer.token);
    case "completed":
      if (!isStatus(answer.status)) return "expected status to be succeeded, failed or unknown";
      return (
        problemWithText("fingerprint", answer.fingerprint) ??
        problemWithText("body", answer.body) ??
        problemWithToken(answer.token) ??
        problemWithTime("createdAt", answer.createdAt) ??
        problemWithTime("completedAt", answer.completedAt) ??
        problemWithTime("expiresAt", answer.expiresAt) ??
        problemWithTime("ageMs", answer.ageMs)
      );
    default:
      return UNKNOWN_OUTCOME;
  }
}

const OUTCOMES: ReadonlySet<unknown> = new Set(["claimed", "in-progress", "lapsed", "completed"]);
const UNKNOWN_OUTCOME = "expected the outcome to be claimed, in-progress, lapsed or completed";

export function problemWithView(view: RecordView | undefined): Problem {
  if (view === undefined) return undefined;
  if (typeof view !== "object" || view === null) return "expected a record or undefined";
  if (!STATES.has(view.state)) return "expected state to be one of the contract's";
  if (!isCount(view.attempt)) return "expected attempt to be a positive safe integer";
  const { status } = view;
  if (status !== undefined && !isStatus(status))
    return "expected status to be one of the contract's";
  return problemWithText("fingerprint", view.fingerprint) ?? problemWithToken(view.token);
}

function problemWithToken(token: unknown): Problem {
  return isCount(token) ? undefined : "expected token to be a positive safe integer";
}

function problemWithText(name: string, value: unknown): Problem {
  return isText(value) ? undefined : `expected ${name} to be a string`;
}

function problemWithTime(name: string, value: unknown): Problem {
  return isTime(value) ? undefined : `expected ${name} to be a number of milliseconds`;
}
