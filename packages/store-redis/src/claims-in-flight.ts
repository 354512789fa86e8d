import type { ClaimOutcome, ClaimRequest } from "@idemkit/engine";

/**
 * The claims of a store that are in flight, by record and owner. An owner that asks again before its first
 * call has ended shares the result of that call. Otherwise the first call could give the claim back while
 * the second one returns it.
 */
export class ClaimsInFlight {
  readonly #claims = new Map<string, Promise<ClaimOutcome>>();

  /** @param send claims the records that are not in flight yet */
  async share(
    requests: readonly ClaimRequest[],
    send: (requests: readonly ClaimRequest[]) => Promise<readonly ClaimOutcome[]>,
  ): Promise<readonly ClaimOutcome[]> {
    const added = requests.filter((request) => !this.#claims.has(nameOf(request)));
    const sent = send(added);
    for (const [index, request] of added.entries()) {
      const name = nameOf(request);
      const claim = sent
        .finally(() => this.#claims.delete(name))
        .then((outcomes) => outcomes[index] as ClaimOutcome);
      this.#claims.set(name, claim);
    }
    return await Promise.all(
      requests.map((request) => this.#claims.get(nameOf(request)) as Promise<ClaimOutcome>),
    );
  }
}

function nameOf({ id, owner }: ClaimRequest): string {
  return id.digest + owner;
}
