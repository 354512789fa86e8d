import type { ClaimScope } from "./claim-scope.ts";
import { claimContextOf } from "./context.ts";
import { LeaseLostError, StoreError } from "./errors.ts";
import { checkedFinding, type Finding } from "./finding.ts";
import type { HeldClaim } from "./held-claim.ts";
import { type Call, checkWanted, unknown } from "./meet.ts";
import type { Settings } from "./options.ts";
import { lapsedPolicyOf, settleAfterMsOf } from "./policies.ts";
import { interruptionOf, isStepLog } from "./step-log.ts";
import type { Checkpoint, Claimed } from "./store.ts";

/** How long the lease of a lapsed claim must have been over to be taken over; undefined: it must not be. */
export type TakeOver = number | undefined;

/** When a lapsed claim may be taken over of which nothing is known yet. */
export function takeOverUnseen(settings: Settings): TakeOver {
  const policy = lapsedPolicyOf(settings);
  if (policy === "block" || policy === "resume") return undefined;
  // Its checkpoint may show a step that has to be reconciled.
  return policy === "rerun" && !settings.steps ? 0 : settleAfterMsOf(settings);
}

/** When a lapsed claim may be taken over that has left this checkpoint. */
export function takeOverOf(settings: Settings, checkpoint: Checkpoint | undefined): TakeOver {
  const policy = lapsedPolicyOf(settings);
  if (policy === "block") return undefined;
  if (typeof policy === "function") return settleAfterMsOf(settings);
  const interruption = interruptionOf(checkpoint);
  if (policy === "resume" && interruption === "in-doubt") return undefined;
  return settings.steps && interruption === "reconcilable" ? settleAfterMsOf(settings) : 0;
}

/**
 * Whether the function is to run under a claim, which may have taken over. If not, the outcome of the
 * earlier run was found and recorded, or the claim is to be asked for again.
 *
 * @throws OutcomeUnknownError if the outcome of the earlier run stays unknown; the error of `onLapsed`;
 *   RunAbortedError if the claim was lost or the engine closed meanwhile; StoreError if the steps cannot
 *   be read
 */
export async function isStillToDo(
  scope: ClaimScope,
  call: Call,
  claim: HeldClaim,
  { takenOver, checkpoint }: Claimed,
): Promise<boolean> {
  const { settings } = scope;
  if (settings.steps && !isStepLog(checkpoint)) {
    await claim.giveBack();
    throw new StoreError("claim", new Error("The stored checkpoint is no step log."));
  }
  if (!takenOver) return true;
  // Its owner may have begun another step after it was looked at.
  const afterMs = takeOverOf(settings, checkpoint);
  if (afterMs === undefined) return await giveUp(scope, call, claim);
  if (afterMs > claim.tookOverAfterMs) {
    await claim.giveBack();
    return false;
  }
  const policy = lapsedPolicyOf(settings);
  if (typeof policy !== "function") return true;
  let found: Finding<unknown>;
  try {
    found = checkedFinding(await policy(claimContextOf(claim)), "onLapsed");
  } catch (error) {
    await claim.giveBack();
    throw error;
  }
  if (found === "still-unknown") return await giveUp(scope, call, claim);
  if (found !== "did-not-happen") {
    await record(claim, found.happened);
    return false;
  }
  try {
    if (claim.abortReason !== undefined) throw claim.abortReason;
    // The caller may have left while `onLapsed` was asked.
    checkWanted(scope, call);
  } catch (reason) {
    await claim.giveBack();
    throw reason;
  }
  return true;
}

/** Lets the claim lapse again, so that the next caller can find out. */
async function giveUp(scope: ClaimScope, call: Call, claim: HeldClaim): Promise<never> {
  await claim.giveBack();
  throw unknown(scope, call, claim, "lapsed");
}

async function record(claim: HeldClaim, value: unknown): Promise<void> {
  try {
    const { recorded, error } = await claim.record(value);
    if (!recorded && error !== undefined) throw error;
  } catch (error) {
    // Another owner or an operator has decided meanwhile: that outcome counts.
    if (!(error instanceof LeaseLostError)) throw error;
  }
}
