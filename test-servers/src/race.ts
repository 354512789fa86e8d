import assert from "node:assert/strict";
import type { Claim, Store } from "@idemkit/engine";
import { requestOf } from "./requests.ts";

const KEYS = 500;
const ROUNDS = 3;
const PARTS = 10;
const LEASE_MS = 60_000;

/**
 * Lets all stores claim the same 500 keys at once, alone and in lists, and then take them over, round
 * after round. Rejects unless each key has one winner in each round, tokens increase, and the winners of
 * the round before are refused.
 */
export async function race(
  stores: readonly Store[],
  elapse: (ms: number, digests: readonly string[]) => Promise<void>,
): Promise<void> {
  const keys = Array.from({ length: KEYS }, (_, index) => `raced ${index}`);
  const digests = keys.map((key) => requestOf(key).id.digest);
  let holders = new Map<string, Claim>();
  for (let round = 1; round <= ROUNDS; round += 1) {
    const won = await claimAll(stores, keys, round);
    assert.equal(won.size, KEYS, "each key has a winner");
    for (const [digest, { token }] of won) {
      assert.ok(token > (holders.get(digest)?.token ?? 0), "tokens increase");
    }
    const stale = [...holders.values()].map((claim) => ({
      ...claim,
      status: "succeeded" as const,
      body: "stale",
    }));
    for (const store of stores) {
      assert.ok(!(await store.complete(stale)).includes(true), "stale owners are refused");
    }
    holders = won;
    await elapse(LEASE_MS, digests);
  }
}

async function claimAll(
  stores: readonly Store[],
  keys: readonly string[],
  round: number,
): Promise<Map<string, Claim>> {
  const requests = (some: readonly string[]) =>
    some.map((key) => requestOf(key, { leaseMs: LEASE_MS, takeOver: true }));
  const asked = stores.flatMap((store) => [
    ...keys.map((key) => ({ store, list: requests([key]) })),
    ...keys.map((key) => ({ store, list: requests([key]) })),
    ...Array.from({ length: PARTS }, (_, part) => ({
      store,
      list: requests(keys.filter((__, index) => index % PARTS === part)),
    })),
  ]);
  const won = new Map<string, Claim>();
  const answered = asked.map(async ({ store, list }) => {
    const outcomes = await store.claim(list);
    for (const [index, { id, owner }] of list.entries()) {
      const outcome = outcomes[index];
      if (outcome?.outcome !== "claimed") continue;
      assert.ok(!won.has(id.digest), `${id.key} has two winners`);
      assert.equal(outcome.attempt, round, "each round is an attempt");
      won.set(id.digest, { id, owner, token: outcome.token });
    }
  });
  await Promise.all(answered);
  return won;
}
