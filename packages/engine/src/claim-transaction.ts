import type { ClaimScope } from "./claim-scope.ts";
import { LeaseLostError, StoreError } from "./errors.ts";
import type { ClaimRequest, Transacted } from "./store.ts";
import { TimedOutError } from "./timing.ts";
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
  const { client, events } = scope;
  const lost = new LeaseLostError({ token });
  const work = new TransactionWork(scope, request, (tx) => fn(tx));
  try {
    const answer = await work.withEnd(() =>
      begunInTime(scope, (begun) =>
        client.transact(
          { ...request, takeOver: false },
          (tx, claimed) => {
            begun();
            // A record that was lost and is granted anew is another claim.
            if (claimed.token !== token) throw lost;
            onBegun();
            return work.run(tx, claimed);
          },
          {},
        ),
      ),
    );
    if (answer.outcome === "blocked") throw new Error("Somebody else holds the record's row.");
    if (!work.isCommitted(answer) || work.ended === undefined) {
      return { as: "lost", error: lost };
    }
    work.emit(work.ended, { digest: request.id.digest, attempt: answer.attempt, token });
    return { as: "committed", value: work.ended.value };
  } catch (cause) {
    if (cause === lost) return { as: "lost", error: lost };
    if (work.hasThrown(cause)) return { as: "rolled-back", error: cause };
    const error = new StoreError("transact", cause);
    const { digest } = request.id;
    events.emit("store-error", () => ({ digest, operation: "transact", error }));
    return { as: cause instanceof UnclearCommitError ? "open" : "rolled-back", error };
  }
}

/** Nobody waits for a connection longer than for any other call to the store. */
function begunInTime(
  { runtime, settings }: ClaimScope,
  ask: (begun: () => void) => Promise<Transacted>,
): Promise<Transacted> {
  const { storeTimeoutMs } = settings;
  return new Promise((resolve, reject) => {
    let isLate = false;
    const late = new TimedOutError(`No transaction was begun in ${storeTimeoutMs} ms.`);
    const cancel = runtime.schedule(() => {
      isLate = true;
      reject(late);
    }, storeTimeoutMs);
    const begun = () => {
      cancel();
      if (isLate) throw late;
    };
    ask(begun).finally(cancel).then(resolve, reject);
  });
}
