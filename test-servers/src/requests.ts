import { createHash, randomBytes } from "node:crypto";
import type { Claim, ClaimRequest, Store } from "@idemkit/engine";

const digestOf = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 32);

/** A claim request for a key of the test, of an owner of its own. */
export function requestOf(key: string, given: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    id: { digest: digestOf(key), scope: "4:test", key },
    owner: randomBytes(16).toString("hex"),
    fingerprint: "f",
    leaseMs: 60_000,
    retentionMs: 1_000_000,
    takeOver: false,
    ...given,
  };
}

/** Claims each, and answers the claims that were granted. */
export async function claimed(
  store: Store,
  requests: readonly ClaimRequest[],
): Promise<readonly Claim[]> {
  const outcomes = await store.claim(requests);
  return requests.flatMap(({ id, owner }, index) => {
    const outcome = outcomes[index];
    return outcome?.outcome === "claimed" ? [{ id, owner, token: outcome.token }] : [];
  });
}
