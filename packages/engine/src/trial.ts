import { randomBytes } from "node:crypto";
import type { ClaimRequest, Store } from "./store.ts";

/** Texts that a wrong charset, a short column or a meddling trigger would not keep. */
const BODY = `Łukasz 日本 😀 '"\\ ${"long ".repeat(1_000)}`;
const NOTE = "";
const RECORDS = 2;
const TIMES = { leaseMs: 60_000, retentionMs: 60_000 };

/**
 * Claims records of its own twice, renews and completes them and reads what is left of them: whatever
 * missing rights, charsets, triggers, policies and meddling proxies do to a store is seen here, where
 * its settings alone would not tell.
 *
 * @param forget deletes a record again
 * @returns what is wrong, if anything; the driver's own errors are thrown
 */
export async function trialProblem(
  store: Store,
  forget: (digest: string) => Promise<unknown>,
): Promise<string | undefined> {
  const digests = Array.from({ length: RECORDS }, () => randomBytes(16).toString("hex"));
  const requests = (owner: string): readonly ClaimRequest[] =>
    digests.map((digest) => ({
      id: { digest, scope: "7:idemkit", key: "check" },
      ...{ owner, fingerprint: "check", ...TIMES, takeOver: false },
    }));
  try {
    return await problemWith(store, requests);
  } finally {
    // What is open is never forgotten by time.
    for (const digest of digests) await forget(digest);
  }
}

async function problemWith(
  store: Store,
  requests: (owner: string) => readonly ClaimRequest[],
): Promise<string | undefined> {
  const won = await store.claim(requests("first"));
  const lost = await store.claim(requests("second"));
  const claims = requests("first").map(({ id, owner }, index) => {
    const outcome = won[index];
    return { id, owner, token: outcome?.outcome === "claimed" ? outcome.token : 0 };
  });
  const areRenewed = await store.renew(claims.map((claim) => ({ ...claim, leaseMs: 60_000 })));
  const outcome = { status: "succeeded", body: BODY, note: NOTE } as const;
  const areCompleted = await store.complete(claims.map((claim) => ({ ...claim, ...outcome })));
  const views = await store.read(claims.map(({ id }) => id));
  const isKeptApart =
    claims.every(({ token }) => token > 0) &&
    lost.every((answer) => answer.outcome === "in-progress") &&
    areRenewed.every(Boolean) &&
    areCompleted.every(Boolean);
  if (!isKeptApart) {
    return "Claims on trial were not kept apart: look for triggers, policies and proxies.";
  }
  if (views.every((view) => view?.body === BODY && view.note === NOTE)) return undefined;
  return "Texts on trial did not come back as they were: look for charsets, triggers and modes.";
}
