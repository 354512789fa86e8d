import { randomBytes } from "node:crypto";
import type { ClaimRequest, Store } from "./store.ts";

/**
 * Claims a record of its own twice and completes it: whatever missing rights, triggers, policies and
 * meddling proxies do to a store is seen here, where its settings alone would not tell.
 *
 * @param forget deletes the record again
 * @returns what is wrong, if anything; the driver's own errors are thrown
 */
export async function trialProblem(
  store: Store,
  forget: (digest: string) => Promise<unknown>,
): Promise<string | undefined> {
  const digest = randomBytes(16).toString("hex");
  const id = { digest, scope: "7:idemkit", key: "check" };
  const times = { leaseMs: 60_000, retentionMs: 60_000 };
  const request = (owner: string): ClaimRequest => ({
    ...{ id, owner, fingerprint: "check", ...times, takeOver: false },
  });
  const [won] = await store.claim([request("first")]);
  const [lost] = await store.claim([request("second")]);
  const token = won?.outcome === "claimed" ? won.token : 0;
  const claim = { id, owner: "first", token };
  const [isCompleted] = await store.complete([{ ...claim, status: "succeeded", body: "check" }]);
  await forget(digest);
  if (token > 0 && lost?.outcome === "in-progress" && isCompleted === true) return undefined;
  return "A claim on trial was not kept apart from a second one: look for triggers, policies and proxies.";
}
