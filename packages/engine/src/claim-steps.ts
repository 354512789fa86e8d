import type { ClaimScope } from "./claim-scope.ts";
import { takesOver } from "./options.ts";
import { Steps } from "./steps.ts";
import type { Checkpoint, Claim } from "./store.ts";

/** The claim that steps run under. */
export interface ClaimOfSteps {
  readonly claim: Claim;
  readonly attempt: number;
  readonly token: number;
  readonly takenOver: boolean;
  /** As it was granted. */
  readonly checkpoint: Checkpoint | undefined;
  /** Its lease was renewed, as was asked at that time. */
  readonly onRenewed: (sentAtMs: number) => void;
  readonly onRefused: () => void;
  readonly onFailed: (error: unknown) => void;
}

/**
 * The steps of a claim. Their log is a checkpoint, which is a renewal as well.
 *
 * @throws TypeError where steps were not asked for
 */
export function stepsUnder(
  { client, runtime, events, settings }: ClaimScope,
  { claim, attempt, token, takenOver, checkpoint, onRenewed, onRefused, onFailed }: ClaimOfSteps,
): Steps {
  const { leaseMs, storeTimeoutMs } = settings;
  if (!settings.steps) {
    throw new TypeError("step: expected the option `steps: true`, of the engine or of this call.");
  }
  return new Steps({
    attempt,
    token,
    checkpoint,
    mayRepeat: !takenOver || takesOver(settings),
    save: async (saved) => {
      const sentAtMs = runtime.monotonicMs();
      try {
        const renewal = { ...claim, leaseMs, checkpoint: saved };
        const isHeld = await client.renew(renewal, storeTimeoutMs);
        if (isHeld) onRenewed(sentAtMs);
        else onRefused();
        return isHeld;
      } catch (error) {
        const { digest } = claim.id;
        onFailed(error);
        events.emit("store-error", () => ({ digest, operation: "renew", error }));
        throw error;
      }
    },
  });
}
