import { batchedStore, memoryStore } from "@idemkit/engine";
import { describe, expect, test } from "vitest";
import { clauses, type Harness } from "../src/index.ts";

function inMemory(): Harness {
  let passedMs = 0;
  const store = memoryStore({ clock: () => Date.now() + passedMs });
  return {
    stores: [store, store],
    usesDate: true,
    async elapse(ms) {
      passedMs += ms;
    },
  };
}

function behindFronts(): Harness {
  const { stores, ...harness } = inMemory();
  return { ...harness, stores: [batchedStore(stores[0]), batchedStore(stores[1])] };
}

describe("memoryStore", () => {
  for (const { id, title, check } of clauses) {
    test(`${id}: ${title}`, () => check(inMemory()));
  }
});

test("memoryStore purges no record whose token is ahead of a clock that went back", async () => {
  let nowMs = 5_000;
  const store = memoryStore({ clock: () => nowMs });
  const id = { digest: "a".repeat(32), scope: "s", key: "k" };
  const claimed = async (owner: string) => {
    const times = { leaseMs: 10, retentionMs: 10 };
    const [outcome] = await store.claim([
      { id, owner, fingerprint: "f", takeOver: false, ...times },
    ]);
    if (outcome?.outcome !== "claimed") throw new Error("expected a claim");
    await store.release([{ id, owner, token: outcome.token }]);
    return outcome.token;
  };
  const ahead = await claimed("a".repeat(32));
  nowMs = 1_000;
  await claimed("b".repeat(32));
  nowMs = 2_000;
  expect(await store.purge(10)).toBe(0);
  expect(await claimed("c".repeat(32))).toBeGreaterThan(ahead + 1);
  nowMs = 6_000;
  expect(await store.purge(10)).toBe(1);
});

describe("memoryStore behind a batching front for each handle", () => {
  for (const { id, title, check } of clauses) {
    test(`${id}: ${title}`, () => check(behindFronts()));
  }
});
