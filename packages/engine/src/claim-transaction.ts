import type { ClaimScope } from "./claim-scope.ts";
import { LeaseLostError, StoreError } from "./errors.ts";
import type { Claimed, ClaimRequest } from "./store.ts";
import { TransactionWork } from "./transaction-work.ts";
import { UnclearCommitError } from "./unclear-commit.ts";

/** After these a claim's outcome is no longer up to its function. */
export type Decided =
  | { readonly as: "committed"; readonly value: unknown }
  /** Nobody knows whether it was committed. */
  | { readonly as: "open"; readonly error: unknown };

/** What came of a transaction under a claim; `rolled-back` leaves the claim as it was. */
type Came = Decided | { readonly as: "rolled-back" | "lost"; readonly error: unknown };

/** Runs a function and records its result as the outcome of a claim that is held, in one commit. */
export async function transactUnder(
  scope: ClaimScope,
  request: ClaimRequest,
  token: number,
  fn: (tx: unknown) => unknown,
  onBegun: () => void,
): Promise<Came> {
  const { client, events, settings } = scope;
  let lost: LeaseLostError | undefined;
  const work = new TransactionWork(scope, request, { run: fn, isCutOff: () => false });
  try {
    const answer = await work.withEnd((run) => {
      const begun = (tx: unknown, claimed: Claimed) => {
        // A record that was lost and is granted anew is another claim.
        if (claimed.token !== token) {
          lost = new LeaseLostError({ token });
          throw lost;
        }
        onBegun();
        return run(tx, claimed);
      };
      return client.transact({ ...request, takeOver: false }, begun, {}, settings.storeTimeoutMs);
    });
    if (answer.outcome === "blocked") throw new Error("Somebody else holds the record's row.");
    const committed = work.committed(answer);
    if (committed === undefined) return { as: "lost", error: new LeaseLostError({ token }) };
    return { as: "committed", value: committed.value };
  } catch (cause) {
    if (lost !== undefined && cause === lost) return { as: "lost", error: lost };
    if (work.hasThrown(cause)) return { as: "rolled-back", error: cause };
    const error = new StoreError("transact", cause);
    const { digest } = request.id;
    events.emit("store-error", () => ({ digest, operation: "transact", error }));
    return { as: cause instanceof UnclearCommitError ? "open" : "rolled-back", error };
  }
}
