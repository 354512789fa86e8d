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

/**
 * Whether an error that a function throws comes from an engine that has decided nothing: its own, or that of
 * another call which it made. Such an error is no failure of the operation, even as the cause of another one.
 */
export function isUndecided(error: unknown): boolean {
  return undecidedIn(error) !== undefined;
}

/** Whether a step that throws this error has made another call, which may have had its effect. */
export function mayHaveHappened(error: unknown): boolean {
  const found = undecidedIn(error);
  if (found instanceof StoreError) return found.operation !== "claim";
  return (
    found instanceof RunAbortedError ||
    found instanceof OutcomeUnknownError ||
    found instanceof LeaseLostError
  );
}

function undecidedIn(error: unknown): unknown {
  try {
    let each = error;
    for (let depth = 0; depth < CAUSES_MAX && each instanceof Error; depth += 1) {
      const all: readonly unknown[] = each instanceof AggregateError ? each.errors : [each];
      const found = all.find((one) => UNDECIDED.some((kind) => one instanceof kind));
      if (found !== undefined) return found;
      each = each.cause;
    }
  } catch {
    // A proxy or a getter that throws itself.
  }
  return undefined;
}
