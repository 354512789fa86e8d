import type { ClaimScope } from "./claim-scope.ts";
import { contextOf, type TransactionalContext } from "./context.ts";
import type { Executed } from "./engine.ts";
import type { HeldClaim } from "./held-claim.ts";
import { policyFor, type Settings } from "./options.ts";

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
      events.emit("late-error", () => ({ ...claim.about(), error }));
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

function isStoreFailure({ storeFailure }: HeldClaim, error: unknown): boolean {
  return storeFailure !== undefined && storeFailure === error;
}

/** Ends a claim whose function threw, by the policy. */
export async function endFailed(
  claim: HeldClaim,
  error: unknown,
  settings: Settings,
): Promise<void> {
  switch (policyFor(error, settings)) {
    case "record":
      // A database that is away is no outcome of the operation, unless somebody says so.
      if (settings.onError === undefined && isStoreFailure(claim, error)) await claim.release(true);
      else await claim.fail(error);
      break;
    case "release":
      await claim.release();
      break;
    case "hold":
      await claim.hold(error);
      break;
  }
}
