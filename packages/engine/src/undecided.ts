import {
  EngineClosedError,
  LeaseLostError,
  OutcomeUnknownError,
  ResultUnavailableError,
  StoreError,
} from "./errors.ts";
import { RunAbortedError } from "./run-abort.ts";

/** These say that the outcome of an operation is open, or that it was not reached. */
const UNDECIDED = [
  EngineClosedError,
  LeaseLostError,
  OutcomeUnknownError,
  ResultUnavailableError,
  RunAbortedError,
  StoreError,
];

const CAUSES_MAX = 16;

/** A call that throws one of these may have had its effect. */
const MAY_HAVE_HAPPENED = [RunAbortedError, OutcomeUnknownError, LeaseLostError];

/**
 * Whether an error that a function throws comes from an engine that has decided nothing: its own, or that of
 * another call which it made. Such an error is no failure of the operation, even as the cause of another one.
 */
export function isUndecided(error: unknown): boolean {
  return hasCause(error, (one) => UNDECIDED.some((kind) => one instanceof kind));
}

/** Whether a step that throws this error has made another call, which may have had its effect. */
export function mayHaveHappened(error: unknown): boolean {
  return hasCause(error, (one) =>
    one instanceof StoreError
      ? one.operation !== "claim"
      : MAY_HAVE_HAPPENED.some((kind) => one instanceof kind),
  );
}

/** Whether the error, one of its causes, or an error of an AggregateError among them passes the test. */
export function hasCause(error: unknown, test: (one: unknown) => boolean): boolean {
  try {
    let each = error;
    for (let depth = 0; depth < CAUSES_MAX && each instanceof Error; depth += 1) {
      if (test(each) || (each instanceof AggregateError && each.errors.some(test))) return true;
      each = each.cause;
    }
  } catch {
    // A proxy or a getter that throws itself.
  }
  return false;
}
