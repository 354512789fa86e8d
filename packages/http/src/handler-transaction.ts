import type { TransactionalClaimHandle } from "@idemkit/engine";
import { checkedResponse, type NamedResponse } from "./named-response.ts";
import type { StoredResponse } from "./stored-response.ts";
import { isThenable } from "./streams.ts";
import { isUnclear } from "./thrown.ts";

/** The end of a transaction: its response is committed, or its commit is unclear. */
export type Transacted =
  | { readonly kind: "committed"; readonly response: StoredResponse }
  | { readonly kind: "open" };

type Claim = Pick<TransactionalClaimHandle<unknown, false>, "transaction">;
type Work = (tx: unknown) => NamedResponse | Promise<NamedResponse>;

/** The response that a handler commits together with its writes. */
export class HandlerTransaction {
  readonly #claim: Claim;
  readonly #maxBody: number;
  readonly #kept: (response: StoredResponse) => unknown;
  #decided: Promise<Transacted | undefined> | undefined;

  /** @param kept makes the value that is recorded for a response */
  constructor(claim: Claim, maxBody: number, kept: (response: StoredResponse) => unknown) {
    this.#claim = claim;
    this.#maxBody = maxBody;
    this.#kept = kept;
  }

  /**
   * Missing before the first transaction. Then there is nothing to wait for, not even a turn: a transaction that
   * begins in it would commit beside the response. It resolves to nothing if no transaction was committed.
   */
  get decided(): Promise<Transacted | undefined> | undefined {
    return this.#decided;
  }

  /** @throws as `IdempotencyState.transaction` does */
  async run(work: Work): Promise<NamedResponse> {
    let made: { readonly named: NamedResponse; readonly response: StoredResponse } | undefined;
    const commit = (named: NamedResponse) => {
      const response = checkedResponse(named, this.#maxBody);
      made = { named, response };
      return this.#kept(response) as never;
    };
    const running = this.#claim.transaction((tx) => {
      const came = work(tx);
      // The work of a synchronous driver must not turn into a promise.
      return isThenable(came) ? Promise.resolve(came).then(commit) : commit(came);
    });
    const before = this.#decided;
    const transacted = running.then(
      () => made && ({ kind: "committed", response: made.response } as const),
      (error: unknown) => (isUnclear(error) ? ({ kind: "open" } as const) : undefined),
    );
    // A second transaction is refused after a commit, and changes nothing of the first one's response.
    this.#decided = Promise.all([before, transacted]).then(([first, last]) => first ?? last);
    await running;
    return (made as NonNullable<typeof made>).named;
  }
}
