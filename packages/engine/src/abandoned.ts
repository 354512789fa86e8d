import type { ClaimHandle } from "./claim-handle.ts";
import type { ClaimScope } from "./claim-scope.ts";
import { claimContextOf } from "./context.ts";
import { LeaseLostError, StoreError } from "./errors.ts";
import type { Answer } from "./flights.ts";
import { type Call, unknown } from "./meet.ts";
import { resumes, takesOver } from "./options.ts";
import { isResumable, isStepLog } from "./step-log.ts";
import { checkedFinding, type Finding } from "./steps.ts";
import type { Claimed } from "./store.ts";

/** Whether the record lapsed between steps, or inside such that can find out, so that nothing is repeated. */
export function mayResume({ settings }: ClaimScope, { fingerprint }: Call, met: Answer): boolean {
  if (!resumes(settings) || met.outcome !== "lapsed") return false;
  return met.fingerprint === fingerprint && isResumable(met.checkpoint);
}

/**
 * Whether the function is to run under a claim, which may have taken over. If not, the outcome of the
 * earlier run was found out and recorded.
 *
 * @throws OutcomeUnknownError where nobody knows whether it happened; whatever `onLapsed` throws;
 *   StoreError where its steps cannot be read
 */
export async function isStillToDo(
  scope: ClaimScope,
  call: Call,
  claim: ClaimHandle,
  { takenOver, checkpoint }: Claimed,
): Promise<boolean> {
  const { settings } = scope;
  if (settings.steps && !isStepLog(checkpoint)) {
    await claim.release();
    throw new StoreError("claim", new Error("The stored checkpoint is no step log."));
  }
  if (!takenOver) return true;
  if (typeof settings.onLapsed !== "function") {
    // Its owner may have begun another step before it was taken over.
    if (takesOver(settings) || isResumable(checkpoint)) return true;
    return await giveUp(scope, call, claim);
  }
  let found: Finding<unknown>;
  try {
    found = checkedFinding(await settings.onLapsed(claimContextOf(claim)));
  } catch (error) {
    await claim.release();
    throw error;
  }
  if (found === "did-not-happen") return true;
  if (found === "still-unknown") return await giveUp(scope, call, claim);
  await record(claim, found.happened);
  return false;
}

/** Lets the claim lapse again, so that whoever comes next may find out. */
async function giveUp(scope: ClaimScope, call: Call, claim: ClaimHandle): Promise<never> {
  await claim.release();
  throw unknown(scope, call, claim, "lapsed");
}

async function record(claim: ClaimHandle, value: unknown): Promise<void> {
  try {
    await claim.complete(value);
  } catch (error) {
    // Somebody else has decided meanwhile: that counts.
    if (!(error instanceof LeaseLostError)) throw error;
  }
}
