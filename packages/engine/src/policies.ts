import type { ClaimContext } from "./context.ts";
import type { Finding } from "./finding.ts";

/**
 * - `at-most-once`: the same key never runs twice unless an option or an operator decides so. Failures are
 *   recorded, and work whose process died is reported as unknown.
 * - `at-least-once`: what failed or was abandoned runs again when a caller comes again.
 */
export type Guarantee = "at-most-once" | "at-least-once";

/**
 * The outcome of a function that throws: `record` keeps the error as the outcome, `release` lets the next
 * caller run, `hold` leaves the outcome to an operator. A held outcome is not shown to `onLapsed`.
 */
export type ErrorPolicy = "record" | "release" | "hold";

/**
 * The next caller's treatment of work whose lease lapsed:
 *
 * - `block`: nothing. The outcome stays unknown until it is settled.
 * - `resume`: runs again if no step would be repeated: each step that had begun is done, or can be
 *   reconciled. Needs `steps: true`.
 * - `rerun`: runs again. A step that had begun runs again too.
 * - a function: asks it first whether the work happened.
 */
export type LapsedPolicy = "block" | "resume" | "rerun" | Reconcile;

/**
 * Finds out whether work happened whose process died, by asking the systems that it called. It runs under
 * a new claim, `settleAfterMs` after the old lease ended. A result that happened is recorded, work that
 * did not happen runs, and work that is still unknown stays open.
 *
 * `{ happened: undefined }` records `undefined` as the result: check first whether a look-up found anything.
 *
 * Return 'did-not-happen' only if the called system can no longer receive the first request.
 */
export type Reconcile = (context: ClaimContext) => Finding<unknown> | Promise<Finding<unknown>>;

/** A call's behaviour when it meets the same key still running. */
export type DuplicatePolicy = "reject" | { readonly waitMs: number };

/** The policies of an operation, checked and filled in. */
export interface Policies {
  readonly guarantee: Guarantee;
  readonly onError: ErrorPolicy | ((error: unknown) => ErrorPolicy) | undefined;
  readonly onLapsed: LapsedPolicy | undefined;
  readonly onDuplicate: DuplicatePolicy;
  readonly settleAfterMs: number | undefined;
  readonly maxRunMs: number | undefined;
  readonly steps: boolean;
  readonly leaseMs: number;
}

export const ERROR_POLICIES: readonly ErrorPolicy[] = ["record", "release", "hold"];

/** The next caller's treatment of work whose lease lapsed. */
export function lapsedPolicyOf({ guarantee, onLapsed, steps }: Policies): LapsedPolicy {
  if (onLapsed !== undefined) return onLapsed;
  if (guarantee === "at-least-once") return "rerun";
  return steps ? "resume" : "block";
}

/** How long after the end of a lease a function may be asked whether the work happened. */
export function settleAfterMsOf({ settleAfterMs, leaseMs }: Policies): number {
  return settleAfterMs ?? leaseMs;
}

/**
 * The policy for an error. A function that throws, or returns no policy, has decided nothing: then the
 * outcome is held, because nothing may run again by itself.
 */
export function policyFor(error: unknown, { guarantee, onError }: Policies): ErrorPolicy {
  if (onError === undefined) return guarantee === "at-least-once" ? "release" : "record";
  if (typeof onError === "string") return onError;
  let answer: unknown;
  try {
    answer = onError(error);
  } catch {
    return "hold";
  }
  // Whatever becomes of a promise is too late to decide anything.
  if (answer instanceof Promise) answer.catch(() => undefined);
  return ERROR_POLICIES.find((policy) => policy === answer) ?? "hold";
}
