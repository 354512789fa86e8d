import type { PolicyEnd, PolicyEndOptions } from "./claim-handle.ts";
import type { ClaimScope } from "./claim-scope.ts";
import { contextOf, type TransactionalContext } from "./context.ts";
import type { Executed } from "./engine.ts";
import type { HeldClaim } from "./held-claim.ts";
import type { Settings } from "./options.ts";
import { policyFor } from "./policies.ts";
import { isUndecided } from "./undecided.ts";

/**
 * Runs a function under its claim, and ends that by what came of it. The function's own error goes to
 * the caller.
 */
export async function runUnder<T>(
  { events, settings }: ClaimScope,
  claim: HeldClaim,
  fn: (context: TransactionalContext<unknown, false>) => T | Promise<T>,
): Promise<Executed<T>> {
  let value: T;
  try {
    value = await fn(contextOf(claim));
  } catch (error) {
    const decided = claim.decision && (await claim.decision);
    if (decided?.as === "committed") {
      events.emit("late-error", () => ({ ...claim.about, error }));
      return executed(claim, decided.value as T, true);
    }
    if (decided === undefined) await endFailed(claim, error, settings);
    throw error;
  }
  const decided = claim.decision && (await claim.decision);
  if (decided?.as === "committed") return executed(claim, decided.value as T, true);
  if (decided?.as === "open") throw decided.error;
  const { recorded } = await claim.complete(value);
  return executed(claim, value, recorded);
}

function executed<T>(
  { attempt, token, createdAt }: HeldClaim,
  value: T,
  recorded: boolean,
): Executed<T> {
  return { value, replayed: false, recorded, attempt, token, createdAt };
}

/** Ends a claim whose function threw, by the policy. */
export async function endFailed(
  claim: HeldClaim,
  error: unknown,
  settings: Settings,
  { byDefault, policy: given, ...outcome }: PolicyEndOptions = {},
): Promise<PolicyEnd> {
  const onError = given ?? settings.onError ?? byDefault;
  const policy = policyFor(error, { ...settings, onError });
  const isAsked = typeof onError === "function";
  const isDecided = policy === "hold" || isAsked;
  // A database that is away, or an engine that is closed, is no outcome of the operation.
  const isOpen = !(isDecided || claim.isCutOff) && isUndecided(error);
  const written = isOpen
    ? await claim.leaveOpen()
    : await claim.endBy(policy, error, isDecided, outcome);
  return { ...written, kind: claim.isLeftOpen ? "open" : policy };
}
