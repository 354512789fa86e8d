import type { ClaimOutcome, RecordView } from "./store.ts";

/**
 * Checks of what a store answers. They cost little, and a third-party store that breaks its
 * contract is told so at the first call instead of corrupting an outcome.
 */

const STATUSES: ReadonlySet<unknown> = new Set(["succeeded", "failed", "unknown"]);
const STATES: ReadonlySet<unknown> = new Set([
  "in-progress",
  "lapsed",
  "unknown",
  "completed",
  "released",
]);

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;
const isTime = (value: unknown) => Number.isFinite(value);
const isText = (value: unknown) => typeof value === "string";

export function problemWithBoolean(answer: boolean): string | undefined {
  return typeof answer === "boolean" ? undefined : "expected true or false for each entry";
}

export function problemWithOutcome(answer: ClaimOutcome): string | undefined {
  if (typeof answer !== "object" || answer === null) return "expected an outcome for each entry";
  switch (answer.outcome) {
    case "claimed":
      return firstProblem([
        ["token to be a positive safe integer", isCount(answer.token)],
        ["attempt to be a positive safe integer", isCount(answer.attempt)],
        ["takenOver to be true or false", typeof answer.takenOver === "boolean"],
        ["createdAt to be epoch milliseconds", isTime(answer.createdAt)],
      ]);
    case "in-progress":
      return firstProblem([
        ["fingerprint to be a string", isText(answer.fingerprint)],
        ["attempt to be a positive safe integer", isCount(answer.attempt)],
        ["leaseRemainingMs to be a number", isTime(answer.leaseRemainingMs)],
      ]);
    case "lapsed":
      return firstProblem([
        ["fingerprint to be a string", isText(answer.fingerprint)],
        ["attempt to be a positive safe integer", isCount(answer.attempt)],
        ["token to be a positive safe integer", isCount(answer.token)],
      ]);
    case "completed":
      return firstProblem([
        ["status to be succeeded, failed or unknown", STATUSES.has(answer.status)],
        ["fingerprint to be a string", isText(answer.fingerprint)],
        ["body to be a string", isText(answer.body)],
        ["token to be a positive safe integer", isCount(answer.token)],
        ["attempt to be a positive safe integer", isCount(answer.attempt)],
        ["createdAt to be epoch milliseconds", isTime(answer.createdAt)],
        ["completedAt to be epoch milliseconds", isTime(answer.completedAt)],
        ["ageMs to be a number", isTime(answer.ageMs)],
      ]);
    default:
      return "expected the outcome to be claimed, in-progress, lapsed or completed";
  }
}

export function problemWithView(view: RecordView | undefined): string | undefined {
  if (view === undefined) return undefined;
  if (typeof view !== "object" || view === null) return "expected a record or undefined";
  return firstProblem([
    ["state to be one of the contract's", STATES.has(view.state)],
    ["fingerprint to be a string", isText(view.fingerprint)],
    ["token to be a positive safe integer", isCount(view.token)],
    ["attempt to be a positive safe integer", isCount(view.attempt)],
    ["status to be succeeded, failed or unknown", !("status" in view) || STATUSES.has(view.status)],
  ]);
}

function firstProblem(checks: readonly (readonly [string, boolean])[]): string | undefined {
  const failed = checks.find(([, holds]) => !holds);
  return failed && `expected ${failed[0]}`;
}
