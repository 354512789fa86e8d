import type { ClaimScope } from "./claim-scope.ts";
import { lapsedPolicyOf, settleAfterMsOf } from "./policies.ts";
import { Steps } from "./steps.ts";
import type { Checkpoint, Claim } from "./store.ts";
import { pause } from "./timing.ts";

/** The claim that steps run under. */
export interface ClaimOfSteps {
  readonly claim: Claim;
  readonly attempt: number;
  readonly token: number;
  readonly takenOver: boolean;
  /** How long the lease before had been over at least when this claim took over. */
  readonly tookOverAfterMs: number;
  /** As it was granted. */
  readonly checkpoint: Checkpoint | undefined;
  readonly abortReason: () => Error | undefined;
  readonly checkLease: () => void;
  /** Its lease was renewed, as was asked at that time. */
  readonly onRenewed: (sentAtMs: number) => void;
  readonly onRefused: () => void;
}

/** The steps of a claim. Their log is a checkpoint, which is a renewal as well. */
export function stepsUnder(scope: ClaimScope, of: ClaimOfSteps): Steps {
  const { client, runtime, events, settings } = scope;
  const { leaseMs, storeTimeoutMs } = settings;
  const { claim, attempt, token, checkpoint, abortReason, checkLease } = of;
  return new Steps({
    ...{ attempt, token, checkpoint, abortReason, checkLease },
    mayRepeat: mayRepeat(scope, of),
    settled: () => settled(scope, of),
    save: async (saved) => {
      const sentAtMs = runtime.monotonicMs();
      // After an abort the lease runs out: progress is kept, but nothing is extended.
      const isAborted = abortReason() !== undefined;
      const renewal = { ...claim, ...(!isAborted && { leaseMs }), checkpoint: saved };
      try {
        const isHeld = await client.renew(renewal, storeTimeoutMs);
        if (!isHeld) of.onRefused();
        else if (!isAborted) of.onRenewed(sentAtMs);
        return isHeld;
      } catch (error) {
        const { digest } = claim.id;
        events.emit("store-error", () => ({ digest, operation: "renew", error }));
        throw error;
      }
    },
  });
}

/**
 * Whether a step may run again that an earlier run has begun: by the policy, or because `onLapsed` found
 * that nothing had happened. It was not asked about a record that an operator has released.
 */
function mayRepeat({ settings }: ClaimScope, { takenOver }: ClaimOfSteps): boolean {
  const policy = lapsedPolicyOf(settings);
  return policy === "rerun" || (takenOver && typeof policy === "function");
}

/** A claim that took over early enough for a late request to arrive waits before `reconcile` is called. */
async function settled(
  { runtime, settings, lifetime }: ClaimScope,
  { takenOver, tookOverAfterMs }: ClaimOfSteps,
): Promise<void> {
  const settleAfterMs = settleAfterMsOf(settings);
  if (takenOver && tookOverAfterMs >= settleAfterMs) return;
  await pause(runtime, settleAfterMs, (stop) => lifetime.onEnd(stop));
}
